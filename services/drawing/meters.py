"""What a studio replica tells Prometheus, through Ray's metrics port: the queue, the batch, steps, concepts.

Owns names and units. `services/deploy/grafana.json` draws them; requests and their times Serve counts itself.
"""

import threading
from typing import Any

from ray.serve import metrics

from services.drawing.engine_studio import EngineStudio
from textinv.threads import vital

_EVERY_S = 2.0

GAUGES = {
    "textinv_waiting_images": "Pictures that wait for a place in the batch",
    "textinv_active_images": "Pictures in the batch",
    "textinv_batch_limit": "Pictures of the native size that share a batch at most, as measured at start-up",
    "textinv_cached_bytes": "Bytes of embeddings at hand",
}
COUNTERS = {
    "textinv_steps_total": "Inference steps of the batch",
    "textinv_step_seconds_total": "Seconds spent in them",
    "textinv_image_steps_total": "Pictures in them, summed up: divided by steps, the occupancy of the batch",
    "textinv_images_total": "Pictures drawn",
    "textinv_cancelled_steps_total": "Inference steps spent on pictures whose callers left",
    "textinv_cache_hits_total": "Concepts that were at hand",
    "textinv_cold_loads_total": "Concepts that were fetched",
    "textinv_revalidations_total": "Heads that were asked for again",
    "textinv_failed_fetches_total": "Concepts that could not be fetched",
}


class Meters:
    """Reads a studio every two seconds, from `start` to `stop`."""

    def __init__(self, studio: EngineStudio) -> None:
        self._studio = studio
        self._gauges: dict[str, Any] = {name: metrics.Gauge(name, text) for name, text in GAUGES.items()}
        self._counters: dict[str, Any] = {name: metrics.Counter(name, text) for name, text in COUNTERS.items()}
        self._told: dict[str, float] = dict.fromkeys(COUNTERS, 0.0)
        self._stop = threading.Event()

    def start(self) -> None:
        """Read on in a thread."""
        vital(self._run, "textinv-meters").start()

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()

    def tell(self) -> None:
        """Read once."""
        values = readings(self._studio)
        for name, gauge in self._gauges.items():
            gauge.set(values[name])
        for name, counter in self._counters.items():
            if (grown := values[name] - self._told[name]) > 0:
                counter.inc(grown)
                self._told[name] = values[name]

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self.tell()


def readings(studio: EngineStudio) -> dict[str, float]:
    """All values by name."""
    engine, cache = studio.engine, studio.cache
    stats, native_px = engine.stats, engine.model.native_px
    return {
        "textinv_waiting_images": stats.waiting,
        "textinv_active_images": stats.active,
        "textinv_batch_limit": engine.step_times.batch_limit((native_px, native_px)),
        "textinv_cached_bytes": cache.num_bytes,
        "textinv_steps_total": stats.tally.steps,
        "textinv_step_seconds_total": stats.tally.step_s,
        "textinv_image_steps_total": stats.tally.image_steps,
        "textinv_images_total": stats.tally.images,
        "textinv_cancelled_steps_total": stats.tally.cancelled_steps,
        "textinv_cache_hits_total": cache.tally.hits,
        "textinv_cold_loads_total": cache.tally.cold_loads,
        "textinv_revalidations_total": cache.tally.revalidations,
        "textinv_failed_fetches_total": cache.tally.failures,
    }
