"""A judge of pictures of the demo's world that no recipe ever sees: it names what a picture shows.

Owns a small convolutional classifier (objects, trained and held out; drawing styles; hues; patterns; effects;
backgrounds; counts) and the score of a picture against the ground truth of a concept. Independent of the base's CLIP:
trained on other pictures, from nothing, by `train_judge`.

Legend: B pictures, C channels, H W size, K answers to one question.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from textinv.demo import WEIGHTS
from textinv.demo.artwork import demo_sprites
from textinv.demo.concepts import DemoConcept
from textinv.demo.drawing import Pixels, from_uint8
from textinv.demo.held_out_styles import HELD_OUT_EFFECTS
from textinv.demo.icons import HELD_OUT_OBJECTS, HELD_OUT_STYLE, OBJECTS, STYLE_WORDS
from textinv.demo.world import COLOURS, HUE_WORDS, PATTERNS, Scene, Thing, hue_word, rotate_hue

JUDGE = WEIGHTS / "judge"
NONE = "none"

QUESTIONS: Mapping[str, tuple[str, ...]] = {
    "object": (*OBJECTS, *HELD_OUT_OBJECTS),
    "style": (*STYLE_WORDS, HELD_OUT_STYLE),
    "hue": (*dict(HUE_WORDS), NONE),
    "pattern": (*PATTERNS, NONE),
    "effect": (NONE, "pixel art", "sketch", "silhouette", *HELD_OUT_EFFECTS),
    "background": tuple(COLOURS),
    "count": ("one", "two"),
}
"""What the judge is asked of every picture, and the possible answers."""

WIDTHS = (24, 48, 96, 192)


class JudgeNet(nn.Module):
    """Four residual stages, each halving the picture, and one linear head per question."""

    def __init__(self) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for before, width in zip((3, *WIDTHS), WIDTHS, strict=False):
            stages += [_normed(before, width, stride=2), _Residual(width)]
        self.stages = nn.Sequential(*stages)
        self.heads = nn.ModuleDict({name: nn.Linear(2 * WIDTHS[-1], len(QUESTIONS[name])) for name in QUESTIONS})

    def forward(self, pixels_BCHW: Tensor) -> dict[str, Tensor]:
        """Logits `(B, K)` per question."""
        seen_BCHW = self.stages(pixels_BCHW)
        pooled = torch.cat([seen_BCHW.mean((2, 3)), seen_BCHW.amax((2, 3))], 1)
        return {name: head(pooled) for name, head in self.heads.items()}


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inside = _normed(width, width, stride=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + torch.as_tensor(self.inside(x_BCHW))


def _normed(before: int, width: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


@dataclass(frozen=True)
class Answers:
    """What the judge sees in one picture: a probability for each answer to each question."""

    probabilities: Mapping[str, NDArray[np.float32]]

    def answer(self, question: str) -> str:
        """The likeliest answer."""
        return QUESTIONS[question][int(self.probabilities[question].argmax())]

    def probability(self, question: str, answer: str) -> float:
        """How likely one answer is, in [0, 1]."""
        return float(self.probabilities[question][QUESTIONS[question].index(answer)])


@dataclass(frozen=True)
class Judge:
    """A trained judge."""

    net: JudgeNet

    @torch.no_grad()
    def look(self, pixels_BHWC: Pixels) -> list[Answers]:
        """Judge pictures of 64 px."""
        answers = {name: logits.softmax(-1).numpy() for name, logits in self.net(from_uint8(pixels_BHWC)).items()}
        return [Answers({name: answers[name][place] for name in answers}) for place in range(len(pixels_BHWC))]

    def score(self, concept: DemoConcept, pixels_BHWC: Pixels) -> float:
        """How plainly pictures show a concept: mean probability of everything that is true of it, in [0, 1]."""
        truth = concept_truth(concept)
        seen = self.look(pixels_BHWC)
        return float(np.mean([one.probability(*fact) for one in seen for fact in truth.items()]))

    def shows(self, concept: DemoConcept, pixels_BHWC: Pixels) -> float:
        """Share of pictures in which every likeliest answer is true of the concept."""
        truth = concept_truth(concept)
        seen = self.look(pixels_BHWC)
        return float(np.mean([all(one.answer(name) == right for name, right in truth.items()) for one in seen]))


@cache
def load_judge(folder: Path = JUDGE) -> Judge:
    """Load the judge that ships with the base, or another one from its folder."""
    net = JudgeNet()
    net.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()})
    return Judge(net.eval().requires_grad_(False))


def concept_truth(concept: DemoConcept) -> dict[str, str]:
    """The answers that are right for every picture of a concept, as far as they set it apart."""
    thing = concept.things[0]
    if concept.tier == "held-out-style":
        return {"effect": concept.effect} if concept.effect else {"style": thing.style}
    if concept.tier == "held-out-object":
        return {"object": thing.object}
    return {"object": thing.object, "hue": thing_hue(thing), "pattern": thing.pattern or NONE}


def scene_truth(scene: Scene) -> dict[str, str]:
    """The right answers for a scene; what an effect hides is left out."""
    thing = scene.things[0]
    shape = {"object": thing.object, "effect": scene.effect or NONE, "count": ("one", "two")[len(scene.things) - 1]}
    if scene.effect:
        return shape
    look = {"style": thing.style, "hue": thing_hue(thing), "pattern": thing.pattern or NONE}
    return {**shape, **look, "background": scene.background}


def thing_hue(thing: Thing) -> str:
    """Word for the dominant hue of a thing's artwork, before any pattern."""
    return _hue(thing.style, thing.object, thing.hue_deg)


@cache
def _hue(style: str, name: str, degrees: float) -> str:
    rgba = demo_sprites()[style, name].astype(np.float32)
    rgba[..., :3] = rotate_hue(rgba[..., :3], degrees)
    return hue_word(rgba) or NONE


def right_answers(scenes: Sequence[Scene]) -> dict[str, Tensor]:
    """Index of the right answer per question `(B,)`; -1 where it cannot be seen."""
    truths = [scene_truth(scene) for scene in scenes]
    return {
        name: torch.tensor([answers.index(truth[name]) if name in truth else -1 for truth in truths])
        for name, answers in QUESTIONS.items()
    }
