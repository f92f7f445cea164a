"""`chora-logging check`: checks every line of a log, and estimates how much time its files will cover.

`command` is the entry point. `examining` classifies the lines and finds duplicates; `verdict` tells
whether the log is sound, how far back it goes and how long it will last. `screen` prints it.
"""
