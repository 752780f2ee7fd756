"""One process of a crew: one frozen base model, one pack, fed by leases from the queue.

Owns what becomes of leased specs: pictures in, results and previews out to the store, and what all that is measured by.
Does not know jobs, crews nor the driver. Open `worker.py` first: the life of a worker.
"""
