"""`chora-logging check`: every line of a log looked at, and what its files will hold.

`command` is what the user calls. `examining` says of each line what it is, `duplicates` which ones
were there before, `retention` how far back the log goes and for how long it lasts. `screen` shows it.
"""
