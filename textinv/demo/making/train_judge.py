"""Train the judge of the demo's world.

Every batch is a function of (seed, step); a run continues from the state in its folder.

    python -m textinv.demo.making.train_judge --out FOLDER [--samples N]

Legend: B pictures, C channels, H W size.
"""

import argparse
import json
import math
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor

from textinv.demo.artwork import demo_sprites
from textinv.demo.judge import CONFIG, NONE, QUESTIONS, scene_truth
from textinv.demo.making.drawing import from_uint8, stack
from textinv.demo.making.precision import reduced_precision
from textinv.demo.world import COLOURS, PATTERNS, PICTURE_PX, SIZES_PX, Scene, Thing, draw
from textinv.evaluation.classifier import ResidualStages, save_classifier

HUE_STEP_DEG = 15
"""Hues come in steps, so that naming them is remembered instead of repeated."""


@dataclass(frozen=True)
class Settings:
    """What one run of the training does."""

    samples: int = 120_000
    batch: int = 64
    learning_rate: float = 3e-3
    object_weight: float = 2.0
    """Weight of naming the object, the hardest question; all others weigh 1."""
    save_every: int = 50
    accuracy_pictures: int = 2048
    seed: int = 11


def judge_scene(rng: random.Random) -> Scene:
    """Draw a scene: any artwork, trained or held out, with every property as likely as the judge needs it."""
    style, name = rng.choice(_keys())
    thing = Thing(
        name,
        style,
        hue_deg=float(HUE_STEP_DEG * rng.randrange(24)) if rng.random() < 0.5 else 0.0,
        pattern=rng.choice(PATTERNS) if rng.random() < 0.4 else None,
        pattern_colour=rng.choice(list(COLOURS)),
        pattern_period_px=rng.choice([5, 6, 8]),
        stretch=rng.uniform(0.6, 1.6) if rng.random() < 0.25 else 1.0,
        mirrored=rng.random() < 0.15,
    )
    background = rng.choice(list(COLOURS)) if rng.random() < 0.6 else "white"
    effect = rng.choice([effect for effect in QUESTIONS["effect"] if effect != NONE]) if rng.random() < 0.25 else None
    if rng.random() < 0.15:
        offsets = tuple((rng.uniform(-1, 1), rng.uniform(-4, 4)) for _ in range(2))
        return Scene((thing, thing), background, "normal", effect, offsets_px=offsets)
    size = rng.choices(("small", "normal", "large"), (25, 50, 25))[0]
    margin = (PICTURE_PX - SIZES_PX[size]) / 2
    return Scene((thing,), background, size, effect, offsets_px=((_jitter(rng, margin), _jitter(rng, margin)),))


def _jitter(rng: random.Random, margin: float) -> float:
    return rng.uniform(-0.8, 0.8) * margin


def _keys() -> Sequence[tuple[str, str]]:
    return sorted(demo_sprites())


def judge_batch(seed: str, num: int, *, soften: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Pictures `(B, 3, H, W)` and right answers; `soften` blurs and noises them as a decoder does."""
    rng = random.Random(seed)
    scenes = [judge_scene(rng) for _ in range(num)]
    pictures = [draw(scene, demo_sprites()) for scene in scenes]
    if soften:
        pictures = [_blurred(picture, rng.uniform(0, 1.2)) if rng.random() < 0.4 else picture for picture in pictures]
    pixels_BCHW = from_uint8(stack(pictures))
    if soften:
        noise = np.random.default_rng(rng.randrange(2**32)).standard_normal(pixels_BCHW.shape, np.float32)
        pixels_BCHW += rng.uniform(0, 0.08) * torch.from_numpy(noise)
    return pixels_BCHW, right_answers(scenes)


def right_answers(scenes: Sequence[Scene]) -> dict[str, Tensor]:
    """Index of the right answer per question `(B,)`; -1 where it cannot be seen."""
    truths = [scene_truth(scene) for scene in scenes]
    return {
        name: torch.tensor([answers.index(truth[name]) if name in truth else -1 for truth in truths])
        for name, answers in QUESTIONS.items()
    }


def _blurred(picture: Image.Image, radius: float) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(radius))


@dataclass
class JudgeTraining:
    """The state of one training run, and its step."""

    folder: Path
    settings: Settings
    step: int = 0
    net: ResidualStages = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(self.settings.seed)
        self.net = ResidualStages(CONFIG).train()
        self.optimizer = torch.optim.AdamW(self.net.parameters(), weight_decay=0.02)

    @property
    def num_steps(self) -> int:
        """Steps of the whole run."""
        return self.settings.samples // self.settings.batch

    def advance(self) -> float:
        """Take one optimizer step and return its loss."""
        settings = self.settings
        pixels_BCHW, answers = judge_batch(f"{settings.seed}/{self.step}", settings.batch, soften=True)
        rate = settings.learning_rate * min(1.0, (self.step + 1) / 50)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * self.step / self.num_steps)) / 2
        with reduced_precision(torch.device("cpu")):
            logits = self.net(pixels_BCHW.contiguous(memory_format=torch.channels_last))
        loss = torch.stack(
            [
                F.cross_entropy(logits[name].float(), answers[name], ignore_index=-1)
                * (settings.object_weight if name == "object" else 1.0)
                for name in QUESTIONS
            ]
        ).sum()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def run(self) -> None:
        """Train to the end, logging and saving on the way."""
        started, mean = time.monotonic(), 0.0
        while self.step < self.num_steps:
            loss = self.advance()
            mean = 0.95 * mean + 0.05 * loss if mean else loss
            if self.step % self.settings.save_every == 0:
                self.save()
                print(
                    f"step {self.step}/{self.num_steps} loss {mean:.3f} {time.monotonic() - started:.0f}s", flush=True
                )
        self.save()

    def save(self) -> None:
        """Write the judge, and everything that a later run continues from."""
        state = {"step": self.step, "net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state, self.folder / "judge.tmp")
        os.replace(self.folder / "judge.tmp", self.folder / "judge.pt")
        save_classifier(self.net, CONFIG, self.folder / "judge")

    def resume(self) -> None:
        """Continue from the folder's own state, if it has one."""
        if (self.folder / "judge.pt").exists():
            state = torch.load(self.folder / "judge.pt")
            self.step = state["step"]
            self.net.load_state_dict(state["net"])
            self.optimizer.load_state_dict(state["optimizer"])


@torch.no_grad()
def judge_accuracy(net: ResidualStages, num_pictures: int) -> dict[str, float]:
    """Share of right answers per question on fresh pictures; questions without a visible answer do not count."""
    right = dict.fromkeys(QUESTIONS, 0)
    asked = dict.fromkeys(QUESTIONS, 0)
    net.eval()
    for batch in range(num_pictures // 64):
        pixels_BCHW, answers = judge_batch(f"accuracy/{batch}", 64, soften=False)
        for name, logits in net(pixels_BCHW).items():
            right[name] += int((logits.argmax(-1) == answers[name]).sum())
            asked[name] += int((answers[name] >= 0).sum())
    return {name: round(right[name] / max(1, asked[name]), 4) for name in QUESTIONS}


def train_judge(out: Path, settings: Settings) -> dict[str, float]:
    """Train a judge into `out/judge` and write its accuracy beside it."""
    out.mkdir(parents=True, exist_ok=True)
    training = JudgeTraining(out, settings)
    training.resume()
    training.run()
    accuracy = judge_accuracy(training.net, settings.accuracy_pictures)
    (out / "judge" / "accuracy.json").write_text(json.dumps(accuracy, indent=2) + "\n")
    return accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=Settings.samples)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(train_judge(arguments.out, Settings(arguments.samples)))


if __name__ == "__main__":
    main()
