"""What a concept leaves behind: its embedding or its error, and the training record.

Owns the record's fields: plain JSON that says how an embedding came to be, or why it did not. Does not know where it is
stored.
"""

import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from textinv.embedding import Embedding
from textinv.errors import DivergedError, TextinvError
from textinv.models.base import BaseModel
from textinv.spec import OBJECTIVE_VERSION
from textinv.training.slot import Slot, StopReason
from textinv.training.work import TrainedConcept, Work


@dataclass(frozen=True)
class Ended:
    """A concept left its slot: with an embedding, or with an error and the record of what was seen until then."""

    work: Work
    outcome: TrainedConcept | TextinvError
    record: dict[str, Any]


def ending_of(
    slot: Slot,
    reason: StopReason,
    error: TextinvError | None,
    *,
    model: BaseModel,
    num_slots: int,
    began: Mapping[str, Tensor],
) -> Ended:
    """What a slot's concept leaves behind; `began` are the directions (N, D) in which its rows started."""
    record = _record_of(slot, reason, model, num_slots)
    if reason == "diverged":
        error = DivergedError(
            f"{slot.spec.name}: the loss or the rows became non-finite by step {slot.step}; lower the learning "
            f"rate (now {slot.spec.optimizer.learning_rate:g})",
            step=slot.step,
        )
    if error is not None:
        return Ended(slot.work, error, record)
    record["cosine_to_initializer"] = {
        encoder: cosine_to(rows_ND, began[encoder]) for encoder, rows_ND in slot.best_rows.items()
    }
    return Ended(slot.work, TrainedConcept(slot.spec, Embedding(slot.best_rows), record), record)


def _record_of(slot: Slot, reason: StopReason, model: BaseModel, num_slots: int) -> dict[str, Any]:
    return {
        **_spec_fields(slot.work),
        "stopped": reason,
        **_course(slot),
        "num_slots": num_slots,
        "base_model": {"id": model.id, "revision": model.revision, "family": model.family, "dtype": str(model.dtype)},
        "device": str(model.device),
        "versions": versions(),
    }


def record_of_failure(work: Work, error: TextinvError, slot: Slot | None = None) -> dict[str, Any]:
    """Describe a concept that never came into a slot, or fell out of the one that is given."""
    course = {} if slot is None else _course(slot)
    problem = {"code": error.code, "message": error.message}
    return {**_spec_fields(work), "stopped": "failed", **course, "error": problem}


def _course(slot: Slot) -> dict[str, Any]:
    return {
        "started_from": slot.started_from,
        **({"start": slot.start} if slot.start else {}),
        "steps": slot.step,
        "sample_passes": slot.sample_passes,
        "seconds": round(slot.seconds, 3),
        "kept_step": slot.best_step,
        "trace": [_finite(asdict(seen)) for seen in slot.history],
    }


def _spec_fields(work: Work) -> dict[str, Any]:
    return {"spec": work.spec.model_dump(mode="json"), "fingerprint": work.spec.fingerprint, "work_id": work.work_id}


def _finite(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has no word for what is not a number."""
    return {name: value if value is None or math.isfinite(value) else None for name, value in fields.items()}


def versions() -> dict[str, str]:
    """Versions of everything that decides a result."""
    return {
        "objective": str(OBJECTIVE_VERSION),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": version("diffusers"),
        "transformers": version("transformers"),
    }


def cosine_to(rows_ND: Tensor, initial_ND: Tensor) -> float:
    """Mean cosine of the learned rows with the rows that they started from."""
    return float(torch.nn.functional.cosine_similarity(rows_ND.float(), initial_ND.float(), dim=-1).mean())
