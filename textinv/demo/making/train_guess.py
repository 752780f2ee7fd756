"""Train the demo base's guess, which ships with it.

Made to run in the background, in one process of one thread: it goes on from `state.pt` of its folder, `-TERM` saves and
ends it. Owns the run and what is measured at its end; the training is `textinv.guess.training`.

    python -m textinv.demo.making.train_guess --icons ICONS.npz --out FOLDER
"""

import argparse
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import torch

from textinv.demo import WEIGHTS
from textinv.demo.icons import load_sprites
from textinv.demo.making.guess_world import GuessWorld
from textinv.guess.guess import shape_of
from textinv.guess.network import GuessNetwork
from textinv.guess.training import GuessTraining, Settings
from textinv.models import load_base_model

STATE = "state.pt"
SECONDS_BETWEEN_SAVES = 180.0
LOG_EVERY = 20


class Run:
    """A training that saves now and then, and when it is told to end."""

    def __init__(self, training: GuessTraining, folder: Path) -> None:
        self.training, self._folder, self._ending = training, folder, False
        if (folder / STATE).is_file():
            training.resume((folder / STATE).read_bytes())

    def end(self, *_: object) -> None:
        """End after the current step; a handler of signals."""
        self._ending = True

    def train(self) -> bool:
        """Train to the end, or until told to end; whether it is over."""
        saved, losses = time.monotonic(), list[float]()
        while not (self.training.is_over or self._ending):
            losses.append(self.training.advance())
            if self.training.step % LOG_EVERY == 0:
                mean = sum(losses) / len(losses)
                print(time.strftime("%F %T"), f"step {self.training.step} loss {mean:.4f}", flush=True)
                losses.clear()
            if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                self._save()
                saved = time.monotonic()
        self._save()
        return self.training.is_over

    def _save(self) -> None:
        (self._folder / "state.tmp").write_bytes(self.training.to_bytes())
        os.replace(self._folder / "state.tmp", self._folder / STATE)


def start(icons: Path, folder: Path, settings: Settings) -> Run:
    """Set a run up from the shipped base and the folder's own state."""
    folder.mkdir(parents=True, exist_ok=True)
    model = load_base_model(str(WEIGHTS))
    world = GuessWorld(model, load_sprites(icons))
    torch.manual_seed(settings.seed)
    network = GuessNetwork(shape_of(model, world.encoder.model.config.vision_config.hidden_size))
    return Run(GuessTraining(model, network, world.draw, settings), folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--icons", type=Path, required=True, help="sprites written by textinv.demo.icons.save_sprites")
    parser.add_argument("--out", type=Path, required=True, help="folder for the state and the guess")
    parser.add_argument("--steps", type=int, default=Settings.num_steps)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    run = start(arguments.icons, arguments.out, replace(Settings(), num_steps=arguments.steps))
    signal.signal(signal.SIGTERM, run.end)
    run.train()


if __name__ == "__main__":
    main()
