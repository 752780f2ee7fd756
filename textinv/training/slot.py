"""One place in a pack: everything that belongs to one concept except its rows, which lie in the pack's tables.

Owns a concept's counters, its history of fixed-batch losses, its verdict and its record. Does not know the model.
"""

import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from textinv.embedding import Embedding
from textinv.models.base import Tokens
from textinv.spec import TrainSpec
from textinv.training.context import References
from textinv.training.latents import PictureLatents
from textinv.training.stopping import StopReason, has_converged
from textinv.training.streams import Choices, Draw, draw, draw_index
from textinv.training.work import Progress, Work


@dataclass(frozen=True)
class Evaluation:
    """One look at the fixed batch; `train_loss` is the mean of the training losses since the look before."""

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
    """Per text encoder, M captions; rows are counted from 0 within the concept."""
    choices: Choices
    references: References | None = None
    """For the context term; its prompts are the last captions."""
    started_from: str = ""
    """The words that the rows started from, or the label of an embedding."""
    step: int = 0
    sample_passes: int = 0
    seconds_before: float = 0.0
    """Training time before the last resumption."""
    history: list[Evaluation] = field(default_factory=list)
    best_step: int | None = None
    best_rows: dict[str, Tensor] = field(default_factory=dict)
    """Per text encoder (N, D), on the CPU."""
    latest_rows: dict[str, Tensor] = field(default_factory=dict)
    """Those of the last evaluation."""
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

    def training_draw(self) -> Draw:
        """What this step draws."""
        return draw(self.spec.seed, self.step, self.spec.samples_per_step, self.choices)

    def evaluation_draw(self) -> Draw:
        """The fixed batch: the same samples at every evaluation, stratified over the timestep band."""
        return draw(self.spec.seed, 0, self.spec.stop.num_samples, self.choices, "evaluate")

    def context_prompt(self) -> int | None:
        """Which context prompt this step draws; None without a context term."""
        if self.references is None:
            return None
        return draw_index(self.spec.seed, "context", self.step, len(self.references.mask_PL))

    @property
    def is_due(self) -> bool:
        """Whether the fixed batch is to be evaluated before the next step."""
        seen = bool(self.history) and self.history[-1].step == self.step
        return not seen and (self.step % self.spec.stop.every_steps == 0 or self.step >= self.spec.max_steps)

    def judge(self, evaluation: Evaluation, rows: dict[str, Tensor]) -> StopReason | None:
        """Take an evaluation into the history, keep the rows if they are the best so far, and say whether to stop."""
        self.history.append(evaluation)
        self.latest_rows = rows
        if not math.isfinite(evaluation.loss) or not all(torch.isfinite(tensor).all() for tensor in rows.values()):
            return "diverged"
        stop = self.spec.stop
        if stop.rule == "fixed" or self.best_step is None or evaluation.loss < self._loss_at(self.best_step):
            self.best_step, self.best_rows = self.step, rows
        if self.step >= self.spec.max_steps:
            return "cap"
        losses = [seen.loss for seen in self.history]
        enough = stop.rule == "dvar" and self.step >= self.spec.min_steps
        return "converged" if enough and has_converged(losses, stop.window, stop.threshold) else None

    def _loss_at(self, step: int) -> float:
        return next(seen.loss for seen in self.history if seen.step == step)

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
            "step": self.step,
            "sample_passes": self.sample_passes,
            "seconds": self.seconds,
            "best_step": self.best_step,
            "history": [asdict(seen) for seen in self.history],
        }

    def restore(self, counters: Any) -> None:
        """Take back what `counters` gave."""
        self.started_from = counters["started_from"]
        self.step = counters["step"]
        self.sample_passes = counters["sample_passes"]
        self.seconds_before = counters["seconds"]
        self.best_step = counters["best_step"]
        self.history = [Evaluation(**seen) for seen in counters["history"]]
