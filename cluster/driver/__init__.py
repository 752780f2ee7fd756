"""The driver of a fleet: serves the jobs that are written in the store, by crews of workers.

Owns the rounds, the policy of crews, statuses and logs, and where drivers run. Does not train, and does not decide who
gets which spec. Open `driver.py` first; `process.py` is what is run.
"""
