"""`chora-logging demo`: real processes, real work, two logs, and an account of every event.

`command` is what the user calls. It starts a `crew` of processes, each a `worker` that starts
proofreaders of its own. It shows what arrives on a `board` and in the `viewer`, and then holds the files
against what the processes said they wrote: the `account`. The processes load neither click nor rich.
"""
