"""`chora-logging check`: every line of a log looked at, and what its files will hold.

`command` is what the user calls. `examining` says of each line what it is, and whether it was there
before; `verdict` whether the log is sound, how far back it goes and for how long. `screen` shows it.
"""
