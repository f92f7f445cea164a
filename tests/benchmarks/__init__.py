"""What an event costs and what rivals lose: `python -m tests.benchmarks`.

A scenario a module, every rival in `rivals`.
"""
