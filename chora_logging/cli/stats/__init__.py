"""`chora-logging stats`: statistics of the events in the logs, from one pass in bounded memory.

`command` is the entry point. A `tally` counts the events, a `timeline` by time; where there is much to
count, times and durations are rounded. The `survey` has all results, and `screen` prints them.
"""
