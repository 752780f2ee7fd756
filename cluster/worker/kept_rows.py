"""Publishing the best rows so far of a concept that was cancelled, when that was asked for.

Owns what is taken out of a checkpoint, and the fingerprint under which it is published: another than the spec's, as the
spec itself is not done, and the same for the same checkpoint, whoever publishes it. Does not know who does.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

from textinv.registry import Registry
from textinv.spec import TrainSpec


def publish_best_rows(
    registry: Registry, spec: TrainSpec, data: bytes, record: Mapping[str, Any] | None = None
) -> int | None:
    """Publish the best rows of a checkpoint, once; their version, or None when there are none.

    `record` is what training knew of the concept; None: what the checkpoint knows.

    Raises:
        CorruptObjectError: `data` is no checkpoint.
    """
    from textinv.embedding import Embedding  # torch, diffusers and all: a driver starts without them
    from textinv.training.checkpoint import Checkpoint

    checkpoint = Checkpoint.from_bytes(data)
    if not checkpoint.best_rows:
        return None
    counters = checkpoint.counters
    published = registry.publish(
        spec.name,
        Embedding(checkpoint.best_rows),
        {**(record or _record(spec, counters)), "kept_step": counters["best_step"]},
        fingerprint=hashlib.sha256(f"{spec.fingerprint} cut short, {counters}".encode()).hexdigest(),
        base_model=spec.base_model,
        base_revision=spec.base_revision,
    )
    return published.version


def _record(spec: TrainSpec, counters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "spec": spec.model_dump(mode="json"),
        "fingerprint": spec.fingerprint,
        "work_id": spec.fingerprint,
        "stopped": "cancelled",
        "started_from": counters["started_from"],
        "steps": counters["step"],
        "sample_passes": counters["sample_passes"],
        "seconds": round(counters["seconds"], 3),
        "trace": [{name: _finite(value) for name, value in seen.items()} for seen in counters["history"]],
        "base_model": {"id": spec.base_model, "revision": spec.base_revision},
    }


def _finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None
