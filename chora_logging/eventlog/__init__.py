"""The read side: the rotated files of one log as one sequence of events, stored and live.

Readers never lock, never write, and need nothing from the processes that write.
"""
