"""`chora-logging demo`: real processes, real work, two logs, and an account of every event.

`command` is what the user calls. It starts a `crew` of processes that run `worker`, which run
`proofreader`; both write with a `pen`. It shows what arrives and then holds the files against what
the processes said they wrote (`account`, `summary`). The processes load neither click nor rich.
"""
