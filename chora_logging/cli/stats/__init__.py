"""`chora-logging stats`: what is in the logs, in numbers, from one pass in bounded memory.

`command` is what the user calls. A `tally` counts; times and durations are kept coarsely where they
are many. The `survey` has it all, and `screen` lays it out for eyes.
"""
