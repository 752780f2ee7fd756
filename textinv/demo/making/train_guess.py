"""Train the demo base's guess, which ships with it where it is better than ranked words.

Made to run in the background, in one process of one thread: it goes on from `state.pt` of its folder, `-TERM` saves and
ends it. At the end it is measured on the demo's concepts, of which it has seen none, and written as `guess.safetensors`
into the folder. The training is `textinv.guess.training`.

    python -m textinv.demo.making.train_guess --icons ICONS.npz --out FOLDER
"""

import argparse
import json
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from textinv.demo import WEIGHTS
from textinv.demo.concepts import TIERS, concepts_of
from textinv.demo.icons import load_sprites
from textinv.demo.making.guess_world import COPYING, VECTORS, GuessWorld
from textinv.guess.measuring import at_least
from textinv.guess.running import Run, begun, finished
from textinv.guess.training import Settings
from textinv.models import load_base_model
from textinv.models.load import GUESS_FILE

STEPS = 2000
BASE = "emoji"
"""What the record calls the shipped base."""


def make_guess(icons: Path, folder: Path, settings: Settings, concepts: int | None = None) -> bool:
    """Train, or go on; at the end measure and write the guess. Whether it is over."""
    model = load_base_model(str(WEIGHTS))
    world = GuessWorld(model, load_sprites(icons), concepts=concepts)
    run = Run(begun(model, world.encoder, world.draw, settings), folder / "state.pt", _say)
    signal.signal(signal.SIGTERM, run.end)
    if not run.train():
        return False
    guess = finished(
        model,
        world.encoder,
        run.training,
        world.unseen(),
        base_model=BASE,
        concepts=world.num_seen(run.training.step),
        source="things and looks of the demo's wider world",
    )
    (folder / GUESS_FILE).write_bytes(guess.data)
    _say(f"{guess.digest} {len(guess.data)} bytes")
    print(json.dumps(by_tier(guess.record.held_out["each"]), indent=2))
    return True


def by_tier(losses: dict[str, Any]) -> dict[str, Any]:
    """Mean losses of the guess and of ranked words in each tier, and how much of the difference is beyond chance."""
    found: dict[str, Any] = {}
    for tier in TIERS:
        guess, words = zip(*(losses[concept.name] for concept in concepts_of(tier)), strict=True)
        means = {"guess": round(float(np.mean(guess)), 4), "words": round(float(np.mean(words)), 4)}
        found[tier] = {"concepts": len(guess), **means, "at_least": round(at_least(words, guess), 4)}
    return found


def _say(line: str) -> None:
    print(time.strftime("%F %T"), line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--icons", type=Path, required=True, help="sprites written by textinv.demo.icons.save_sprites")
    parser.add_argument("--out", type=Path, required=True, help="folder for the state and the guess")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--concepts", type=int, help="learn from so many only, over and over")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = Settings(num_steps=arguments.steps, copying=COPYING, vectors=VECTORS)
    make_guess(arguments.icons, arguments.out, settings, arguments.concepts)


if __name__ == "__main__":
    main()
