"""A training of a guess from its beginning, or where it was left off, to the file that is kept.

Owns the state on disk, and what is measured and written down at the end. Does not know where concepts come from, nor
what becomes of the guess.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from textinv.errors import CorruptObjectError
from textinv.guess.guess import OWN, encoder_digest, shape_of, write_guess
from textinv.guess.measuring import HeldOut, measure
from textinv.guess.network import KINDS, GuessNetwork
from textinv.guess.training import DrawExample, GuessTraining, Settings
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import PictureEncoder, load_encoder, own_encoder
from textinv.registry.guesses import GuessFile, GuessRecord, LearnedFrom

SECONDS_BETWEEN_SAVES = 180.0
LOG_EVERY = 20


def encoder_for(model: BaseModel, folders: Sequence[Path]) -> PictureEncoder:
    """What a guess for a base model sees through: the base model's own CLIP, else the first of the folders.

    Raises:
        SettingsError: it has none, and there are no folders.
    """
    if model.clip is not None or not folders:
        return own_encoder(model)
    return load_encoder(folders[0], model.device)


def begun(model: BaseModel, encoder: PictureEncoder, examples: DrawExample, settings: Settings) -> GuessTraining:
    """A training at its beginning."""
    blank = np.zeros((encoder.size_px, encoder.size_px, 3), np.uint8)
    torch.manual_seed(settings.seed)
    network = GuessNetwork(shape_of(model, encoder.looks([blank]).shape[-1]))
    return GuessTraining(model, network, examples, settings)


class Run:
    """A training that saves its state now and then, and when it is told to end."""

    def __init__(self, training: GuessTraining, state: Path, say: Callable[[str], None] = print) -> None:
        """Go on from the state, if there is one.

        Raises:
            CorruptObjectError: it cannot be read.
        """
        self.training, self._state, self._say, self._ending = training, state, say, False
        if state.is_file():
            try:
                training.resume(state.read_bytes())
            except CorruptObjectError as error:
                raise CorruptObjectError(f"the state in {state} cannot be read: remove it to begin anew") from error

    def end(self, *_: object) -> None:
        """End after the current step; a handler of signals."""
        self._ending = True

    def train(self) -> bool:
        """Train to the end, or until told to end; whether it is over."""
        saved, losses = time.monotonic(), list[float]()
        while not (self.training.is_over or self._ending):
            losses.append(self.training.advance())
            if self.training.step % LOG_EVERY == 0:
                steps = f"step {self.training.step} of {self.training.settings.num_steps}"
                self._say(f"{steps}, loss {sum(losses) / len(losses):.4f}")
                losses.clear()
            if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                self._save()
                saved = time.monotonic()
        self._save()
        return self.training.is_over

    def _save(self) -> None:
        self._state.parent.mkdir(parents=True, exist_ok=True)
        draft = self._state.with_suffix(".tmp")
        draft.write_bytes(self.training.to_bytes())
        os.replace(draft, self._state)


def finished(
    model: BaseModel,
    encoder: PictureEncoder,
    training: GuessTraining,
    held_out: Sequence[HeldOut],
    *,
    base_model: str,
    concepts: int,
    source: str,
    shares: Sequence[LearnedFrom] = (),
    between: Callable[[], object] = lambda: None,
) -> GuessFile:
    """Measure what was trained on concepts that it has not seen, and write it as the file that is kept.

    What is measured is what is kept: weights in half precision. `between` is called before each concept is measured,
    and may raise.
    """
    settings, network = training.settings, _halved(training.averaged())
    is_own = model.clip is not None and encoder.id == own_encoder(model).id
    folder = Path(encoder.id)
    worth = measure(model, encoder, network, held_out, between)
    record = GuessRecord(
        base_model=base_model,
        base_revision=model.revision,
        encoder=OWN if is_own else folder.name,
        encoder_digest=None if is_own else encoder_digest(folder),
        shape=network.shape.to_json(),
        kinds=tuple(kind for kind in KINDS if worth["kinds"].get(kind, {}).get("is_better")),
        concepts=concepts,
        source=source,
        steps=training.step,
        sample_passes=max(0, training.step - settings.copying) * settings.concepts_per_step,
        held_out=worth,
        made=time.strftime("%FT%TZ", time.gmtime()),
        shares=tuple(shares),
    )
    return write_guess(network, record)


def _halved(network: GuessNetwork) -> GuessNetwork:
    """The network as it will be read."""
    halved = GuessNetwork(replace(network.shape))
    halved.load_state_dict({name: value.half().float() for name, value in network.state_dict().items()})
    return halved.eval().requires_grad_(False)
