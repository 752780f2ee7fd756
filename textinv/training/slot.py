"""One place in a pack: everything that belongs to one concept except its rows, which lie in the pack's tables.

Owns a concept's counters, its looks at its fixed batch, and its verdict: whether it has learned enough. Does not know
the model.

Voronov, Khoroshikh, Babenko and Ryabinin 2023, "Is This Loss Informative?", arXiv:2302.04841: the loss on a *fixed*
batch shows convergence where the training loss cannot. Their rule (DVAR) stops when the variance of the last `window`
values falls below `threshold` times the variance of the whole history.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import pvariance
from typing import Any, Literal

import torch
from torch import Tensor

from textinv.embedding import Embedding
from textinv.models.base import Conditioning, Tokens
from textinv.spec import TrainSpec
from textinv.training.context import References
from textinv.training.latents import PictureLatents
from textinv.training.streams import Choices, Draw, draw, draw_index
from textinv.training.work import Progress, Work

StopReason = Literal["converged", "cap", "untrained", "diverged", "cancelled"]


@dataclass(frozen=True)
class Look:
    """What one look at the fixed batch saw; `train_loss` is the mean of the training losses since the look before."""

    step: int
    loss: float
    train_loss: float | None


@dataclass
class Slot:
    """A concept in training."""

    work: Work
    index: int
    latents: PictureLatents
    captions: dict[str, Tokens]
    """Per text encoder, M captions; rows are counted from 0 within the concept. Where rows are written into what an
    encoder says, by its name and `OUTPUT`."""
    choices: Choices
    references: References | None = None
    """For the context term: what its prompts, the last captions, are compared with."""
    learns: tuple[str, ...] = ()
    """Of which text encoders, by the names of their rows."""
    heard: dict[str, Conditioning] = field(default_factory=dict)
    """What each text encoder says of all captions, where nothing that it reads learns."""
    started_from: str = ""
    """The words that the rows started from, those that `auto` ranked first even where it took others, or the label of
    an embedding; nothing where no words are known."""
    start: str = ""
    """The label of what came with the work, where rows started from that."""
    step: int = 0
    sample_passes: int = 0
    seconds_before: float = 0.0
    """Training time before the last resumption."""
    history: list[Look] = field(default_factory=list)
    best_step: int | None = None
    best_rows: dict[str, Tensor] = field(default_factory=dict)
    """Per text encoder (N, D), on the CPU."""
    latest_rows: dict[str, Tensor] = field(default_factory=dict)
    """Those of the last look."""
    begun: float = field(default_factory=time.monotonic)

    @property
    def spec(self) -> TrainSpec:
        """What is learned."""
        return self.work.spec

    @property
    def seconds(self) -> float:
        """Wall-clock seconds in a slot, earlier ones included."""
        return self.seconds_before + time.monotonic() - self.begun

    @property
    def num_captions(self) -> int:
        """Captions of all kinds."""
        return len(next(iter(self.captions.values())).ids_BL)

    @property
    def num_context_prompts(self) -> int:
        """How many of the captions are context prompts: none without a context term."""
        return len(self.references.mask_PL) if self.references else 0

    @property
    def first_context_caption(self) -> int:
        """Where among the captions the context prompts begin: they are the last ones."""
        return self.num_captions - self.num_context_prompts

    def training_draw(self) -> Draw:
        """What this step draws."""
        return draw(self.spec.seed, self.step, self.spec.samples_per_step, self.choices)

    def fixed_draw(self) -> Draw:
        """The fixed batch: the same samples at every look, stratified over the timestep band."""
        return draw(self.spec.seed, 0, self.spec.stop.num_samples, self.choices, "evaluate")

    def context_prompt(self) -> int | None:
        """Which context prompt this step draws; None without a context term."""
        count = self.num_context_prompts
        return draw_index(self.spec.seed, "context", self.step, count) if count else None

    @property
    def is_due(self) -> bool:
        """Whether the fixed batch is to be looked at before the next step."""
        seen = bool(self.history) and self.history[-1].step == self.step
        return not seen and (self.step % self.spec.stop.every_steps == 0 or self.step >= self.spec.max_steps)

    def see(self, loss: float, summed_train_loss: float, rows: dict[str, Tensor]) -> None:
        """Take a look into the history, and keep its rows (N, D) if they are the best so far."""
        steps = self.step - (self.history[-1].step if self.history else 0)
        self.history.append(Look(self.step, loss, summed_train_loss / steps if steps else None))
        self.latest_rows = rows
        is_better = self.best_step is None or loss < self._loss_at(self.best_step)
        if self._is_finite and (self.spec.stop.rule == "fixed" or is_better):
            self.best_step, self.best_rows = self.step, rows

    def verdict(self) -> StopReason | None:
        """Whether to stop after the last look, and why."""
        if not self._is_finite:
            return "diverged"
        if self.step >= self.spec.max_steps:
            return "cap" if self.spec.max_steps else "untrained"
        stop = self.spec.stop
        losses = [look.loss for look in self.history]
        enough = stop.rule == "dvar" and self.step >= self.spec.min_steps
        return "converged" if enough and has_converged(losses, stop.window, stop.threshold) else None

    @property
    def _is_finite(self) -> bool:
        """Whether the last look saw numbers."""
        loss, rows = self.history[-1].loss, self.latest_rows.values()
        return math.isfinite(loss) and all(bool(torch.isfinite(rows_ND).all()) for rows_ND in rows)

    def _loss_at(self, step: int) -> float:
        return next(look.loss for look in self.history if look.step == step)

    def progress(self, state: str) -> Progress:
        """How far the concept is."""
        spec, loss = self.spec, self.history[-1].loss if self.history else math.nan
        shown = Embedding(self.latest_rows) if self.is_preview_due and math.isfinite(loss) else None
        return Progress(spec.name, self.step, spec.max_steps, loss, self.sample_passes, self.seconds, state, shown)

    @property
    def is_preview_due(self) -> bool:
        """Whether a multiple of `preview_every` steps was passed since the look before the last one."""
        every = self.spec.preview_every
        if not every or len(self.history) < 2:
            return False
        return self.history[-1].step // every > self.history[-2].step // every

    def counters(self) -> dict[str, Any]:
        """Plain JSON state for a checkpoint."""
        return {
            "started_from": self.started_from,
            **({"start": self.start} if self.start else {}),
            "step": self.step,
            "sample_passes": self.sample_passes,
            "seconds": self.seconds,
            "best_step": self.best_step,
            "history": [asdict(seen) for seen in self.history],
        }

    def restore(self, counters: Any) -> None:
        """Take back what `counters` gave."""
        self.started_from = counters["started_from"]
        self.start = counters.get("start", "")
        self.step = counters["step"]
        self.sample_passes = counters["sample_passes"]
        self.seconds_before = counters["seconds"]
        self.best_step = counters["best_step"]
        self.history = [Look(**seen) for seen in counters["history"]]


def dvar_ratio(history: Sequence[float], window: int) -> float | None:
    """Var(last `window` values) / Var(all values), both population variances; None while there are too few values."""
    if len(history) < window or window < 2:
        return None
    whole = pvariance(history)
    return pvariance(history[-window:]) / whole if whole > 0 else 0.0


def has_converged(history: Sequence[float], window: int, threshold: float) -> bool:
    """Whether DVAR says that the concept has converged. With exactly `window` values the ratio is 1: it cannot fire."""
    ratio = dvar_ratio(history, window)
    return ratio is not None and ratio < threshold
