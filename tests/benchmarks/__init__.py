"""The cost of an event, and the losses of rivals: `python -m tests.benchmarks`.

One module for each scenario; every rival is in `rivals`.
"""
