"""`chora-logging demo`: real processes, real work, two logs, and an account of every event.

`command` is the entry point. It starts a `crew` of processes, each a `worker` that starts proofreaders of
its own, and shows the events on a `board` and in the `viewer`. Then the `account` compares the files with
the events that the processes report. The processes import neither click nor rich.
"""
