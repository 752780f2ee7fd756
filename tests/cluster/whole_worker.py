"""A worker in a process of its own, without Ray: `python -m tests.cluster.whole_worker JOB_ID NUM_STEPS`.

Takes up a job from the store of its settings, drains after so many looks (0: never) and says how its queue stands.
"""

import json
import sys
import time
from datetime import UTC, datetime
from itertools import count

from cluster.queue.messages import WorkerCard
from cluster.worker.config import PackSettings
from cluster.worker.worker import learn_leased
from tests.cluster.shared_queue import LetsGo, told
from textinv.demo import WEIGHTS
from textinv.jobs import JobStore
from textinv.models import load_base_model
from textinv.registry import Registry
from textinv.settings import load_settings
from textinv.store import connect_store

CARD = WorkerCard("crew/0", "crew", 0)


def main() -> None:
    """Work."""
    job_id, num_looks = sys.argv[1], int(sys.argv[2])
    registry = Registry(connect_store(load_settings().settings.store))
    looks = count()
    queue = told(registry, JobStore(registry.store).load(job_id), LetsGo(lease_s=6.0))
    model = load_base_model(str(WEIGHTS), device="cpu", dtype="float32")
    noticed: list[float] = []

    def has_notice() -> bool:
        if num_looks and next(looks) >= num_looks:
            noticed.append(time.monotonic())
        return bool(noticed)

    pack = PackSettings(num_slots=2, lease_s=6.0, checkpoint_every_s=0.5)
    learn_leased(lambda: model, queue, registry, CARD, pack, has_notice)
    view = queue.view()
    facts = {
        "counts": dict(view.jobs[0].counts),
        "expiries": view.expiries,
        "repeated_passes": view.repeated_passes,
        "steps": {event.name: event.text for event in view.events if event.kind == "resumed"},
        "hand_back_s": time.monotonic() - noticed[0] if noticed else None,
        "year_to_minute": datetime.now(UTC).isoformat(timespec="minutes"),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
