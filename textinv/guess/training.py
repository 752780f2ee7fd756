"""Training a guess through the frozen base model, with the loss that concepts are learned with.

A step takes some concepts; of each, one to four pictures are looked at, and the rows that come out have to explain
another picture of the same thing. Where rows are known that fit, of words or learned ones, the first steps only copy
them, without the base model: a network that begins there says different things of different pictures, which one that
begins anywhere learns slowly. Owns the step, its draws (a function of seed and step) and the state from which it
goes on. Does not know where concepts come from: it is handed a function that draws one.

Gal et al. 2022, arXiv:2208.01618, eq. 2 is the loss. Shapes: as in `network`, and C x H x W latents.
"""

import io
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cosine_similarity

from textinv.errors import CorruptObjectError
from textinv.guess.network import KINDS, GuessNetwork
from textinv.models.base import BaseModel, Tokens
from textinv.models.picture_encoder import PictureEncoder
from textinv.models.word_rows import spread
from textinv.spec import Kind
from textinv.training.batch import sample_losses
from textinv.training.captions import tokenize_captions
from textinv.training.streams import seed_of, stratified, stream

Pixels = NDArray[np.uint8]
"""(H, W, 3), square."""
MOST_LOOKED_AT = 4
"""Pictures that a guess is made from in training; it can be made from more."""


@dataclass(frozen=True)
class Example:
    """A concept to learn guessing from, encoded."""

    kind: Kind
    looks_PTW: Tensor
    mean_PCHW: Tensor
    std_PCHW: Tensor
    captions: Sequence[Sequence[str]]
    """Of each picture, all that may be said of it, with `{}`."""
    known: Mapping[str, Tensor] | None = None
    """Rows (n, D) by text encoder that are known to fit: of words that say it, or learned ones."""


DrawExample = Callable[[int, random.Random], Example]
"""Draws one for a step."""


def encode_example(
    model: BaseModel, encoder: PictureEncoder, kind: Kind, pictures: Sequence[Pixels], captions: Sequence[Sequence[str]]
) -> Example:
    """Encode the pictures of a concept, all of one size, for the base model and for the network."""
    pixels_PCHW = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    with torch.no_grad():
        mean_PCHW, std_PCHW = model.encode_pixels(pixels_PCHW.to(model.device))
    return Example(kind, encoder.looks(pictures).half(), mean_PCHW.float().cpu(), std_PCHW.float().cpu(), captions)


@dataclass(frozen=True)
class Settings:
    """How long and how hard to train."""

    num_steps: int = 2000
    concepts_per_step: int = 16
    learning_rate: float = 1e-3
    warm_up: int = 50
    average: float = 0.98
    """Decay of the average of the weights, which is what is kept: the mean of about the last fifty steps."""
    vectors: tuple[int, ...] = (1, 2, 3, 3, 4, 4, 4, 4)
    """The numbers of vectors, drawn uniformly: as often as they are asked for."""
    band: tuple[int, int] = (300, 1000)
    """Where in time samples are taken: that of the recipes."""
    copying: int = 0
    """Steps at the beginning in which rows only become like known ones, where any are; the base model rests."""
    copying_weight: float = 0.5
    """Weight, from then on, of how far rows are from known ones, beside the loss."""
    seed: int = 27


class GuessTraining:
    """The state of one training."""

    def __init__(self, model: BaseModel, network: GuessNetwork, examples: DrawExample, settings: Settings) -> None:
        self.model, self.network, self.examples, self.settings = model, network.train(), examples, settings
        self.step = 0
        self._optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
        self._average = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def advance(self) -> float:
        """Take one step; its loss."""
        settings = self.settings
        rng = random.Random(seed_of(settings.seed, "guess", self.step))
        examples = [self.examples(self.step, rng) for _ in range(settings.concepts_per_step)]
        targets = [rng.randrange(len(example.captions)) for example in examples]
        chosen = [_looked_at(example, at, rng) for example, at in zip(examples, targets, strict=True)]
        rows = guessed(self.network, examples, chosen, rng.choice(settings.vectors))
        loss = far_from_known(examples, rows)
        if self.step >= settings.copying or not any(one.known for one in examples):
            captions = [rng.choice(example.captions[at]) for example, at in zip(examples, targets, strict=True)]
            generator = stream(settings.seed, "guess/noise", self.step)
            losses_B = losses_of(self.model, examples, targets, captions, rows, settings.band, generator)
            loss = losses_B.mean() + settings.copying_weight * loss
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.param_groups[0]["lr"] = settings.learning_rate * self._rate()
        self._optimizer.step()
        self.step += 1
        decay = min(settings.average, self.step / (self.step + 10))
        for name, value in self.network.state_dict().items():
            self._average[name].lerp_(value, 1 - decay)
        return loss.item()

    def _rate(self) -> float:
        """Share of the learning rate: up, then down to nearly nothing."""
        left = 1 - self.step / self.settings.num_steps
        return min(1.0, (self.step + 1) / self.settings.warm_up) * max(0.02, left)

    @property
    def is_over(self) -> bool:
        """Whether all steps are taken."""
        return self.step >= self.settings.num_steps

    def averaged(self) -> GuessNetwork:
        """The network that is kept."""
        network = GuessNetwork(self.network.shape)
        network.load_state_dict(self._average)
        return network.eval().requires_grad_(False)

    def to_bytes(self) -> bytes:
        """Everything that another process goes on from."""
        buffer = io.BytesIO()
        state = {"step": self.step, "network": self.network.state_dict(), "average": self._average}
        torch.save({**state, "optimizer": self._optimizer.state_dict()}, buffer)
        return buffer.getvalue()

    def resume(self, data: bytes) -> None:
        """Go on from what `to_bytes` gave.

        Raises:
            CorruptObjectError: it is something else.
        """
        try:
            state: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True)
            self.step, self._average = state["step"], state["average"]
            self.network.load_state_dict(state["network"])
            self._optimizer.load_state_dict(state["optimizer"])
        except Exception as error:  # whatever unpickling and loading raise
            raise CorruptObjectError("the state of the guess cannot be read: it begins anew") from error


def _looked_at(example: Example, target: int, rng: random.Random) -> list[int]:
    """Pictures to guess from: others than the target, where there are any."""
    others = [place for place in range(len(example.captions)) if place != target] or [target]
    return rng.sample(others, rng.randint(1, min(MOST_LOOKED_AT, len(others))))


def guessed(
    network: GuessNetwork, examples: Sequence[Example], chosen: Sequence[Sequence[int]], num_vectors: int
) -> dict[str, Tensor]:
    """Rows (B, N, D) by text encoder, from the chosen pictures of each concept."""
    kinds_B = torch.tensor([KINDS.index(example.kind) for example in examples])
    return network(*stacked(examples, chosen), kinds_B, num_vectors)  # type: ignore[no-any-return]


def far_from_known(examples: Sequence[Example], rows: Mapping[str, Tensor]) -> Tensor:
    """How far rows (B, N, D) point away from known ones: 1 - cos, the mean over those of whom any are known."""
    far = []
    for name, rows_BND in rows.items():
        known = [None if one.known is None else spread(one.known[name], rows_BND.shape[1]) for one in examples]
        pairs = [(ours, theirs) for ours, theirs in zip(rows_BND, known, strict=True) if theirs is not None]
        far += [1 - cosine_similarity(ours, theirs, dim=-1).mean() for ours, theirs in pairs]
    return torch.stack(far).mean() if far else torch.zeros((), requires_grad=True)


def stacked(examples: Sequence[Example], chosen: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """What the encoder saw in the chosen pictures (B, P, T, W), zeros behind fewer, and which are there (B, P)."""
    most = max(map(len, chosen))
    shown_BP = torch.tensor([[place < len(places) for place in range(most)] for places in chosen])
    looks = [example.looks_PTW[list(places)].float() for example, places in zip(examples, chosen, strict=True)]
    padded = [torch.nn.functional.pad(each, (0, 0, 0, 0, 0, most - len(each))) for each in looks]
    return torch.stack(padded), shown_BP


def losses_of(
    model: BaseModel,
    examples: Sequence[Example],
    targets: Sequence[int],
    captions: Sequence[str],
    rows: Mapping[str, Tensor],
    band: tuple[int, int],
    generator: torch.Generator,
) -> Tensor:
    """Loss (B,) of one picture of each concept with these rows (B, N, D); noise comes from the generator."""
    num_vectors = next(iter(rows.values())).shape[1]
    mean, std = (
        torch.stack([getattr(example, name)[at] for example, at in zip(examples, targets, strict=True)])
        for name in ("mean_PCHW", "std_PCHW")
    )
    noises = torch.randn((2, *mean.shape), generator=generator)
    uniform_B = torch.rand(len(mean), generator=generator).numpy()
    times = model.process.times(band, stratified(uniform_B))[torch.randperm(len(mean), generator=generator).numpy()]
    times_B = torch.from_numpy(times).to(model.device)
    latents, noise = (mean + std * noises[0]).to(model.device), noises[1].to(model.device)
    tokens = {
        name: Tokens(one.ids_BL, torch.where(one.row_BL >= 0, one.row_BL + num_vectors * _counted(one.row_BL), -1))
        for name, one in tokenize_captions(model, captions, num_vectors).items()
    }
    said = model.encode_text(tokens, {name: each.flatten(0, 1).to(model.device) for name, each in rows.items()})
    predicted = model.predict(model.process.noised(latents, noise, times_B), times_B, said)
    return sample_losses(predicted, model.process.target(latents, noise, times_B), None)


def _counted(row_BL: Tensor) -> Tensor:
    """The place of each sample (B, 1)."""
    return torch.arange(len(row_BL), device=row_BL.device)[:, None]
