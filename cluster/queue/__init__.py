"""Who has which spec, for all jobs on one base model.

Owns leases, fair share between jobs, deaths and what is tried again after which error. Does not know how a spec is
trained nor where jobs come from; only `on_ray` knows Ray. Open `queue.py` first: the queue itself, a plain class.
"""
