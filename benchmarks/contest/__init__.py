"""A contest between numbacnn and its peers.

Every contestant is a process of its own (worker.py on its side, contestant.py on ours) that prepares cases, shows what they compute
and runs them on command. A match compares the results first, then lets the contestants run in turns, so that only one works at a
time and whatever else the machine does meets all of them.
"""
