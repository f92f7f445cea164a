"""`chora-logging sql`: asks the logs in SQL, by DuckDB in this process (extra `sql`).

`command` is the command, `columns` are the columns of `events`, `arrow` hands them to DuckDB in batches,
`database` runs the query, and `results` prints or writes what it gives.
"""
