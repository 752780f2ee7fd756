"""Training spread over a cluster with Ray Train, and what operators deploy.

Owns whatever would change were Ray replaced: who has which spec (`queue`), one process that trains (`worker`), jobs
from the store and crews that come and go (`driver`), `textinv submit`, `job` and `fleet` (`commands`); each imports
those before it only. Does not know HTTP, nor how a concept is learned. Open `queue/queue.py` first, then
`driver/driver.py`.
"""
