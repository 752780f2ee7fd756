"""A second opinion for the demo base: a classifier that no recipe sees, so that none can please it instead of learning.

Owns what it is asked: what the real pictures have in common, how plainly drawn ones show the same, and whether a prompt
got what it asked for. Does not know how the classifier works, nor concepts' ground truth.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from textinv.demo import WEIGHTS
from textinv.demo.judge import JUDGE, NONE, Answers, Judge, load_judge
from textinv.images import Picture, as_trained
from textinv.models.base import BaseModel
from textinv.models.revision import hash_weights

SIDE_PX = 64
SURE = 0.5
"""Real pictures have an answer in common when its mean probability is at least this."""
ABOUT: Mapping[Literal["object", "style"], tuple[str, ...]] = {
    "object": ("object", "hue", "pattern"),
    "style": ("style", "effect"),
}
"""What the classifier is asked of a concept of each kind."""
ASKED: Mapping[str, tuple[str, str]] = {
    "a {} on a blue background": ("background", "blue"),
    "a {} on a green background": ("background", "green"),
    "a red {}": ("hue", "red"),
    "a sketch of a {}": ("effect", "sketch"),
    "a pixel art of a {}": ("effect", "pixel art"),
    "two {}": ("count", "two"),
    "a fox in {} style": ("object", "fox"),
    "a house in {} style": ("object", "house"),
    "a rose in {} style": ("object", "rose"),
    "a banana in {} style on a blue background": ("object", "banana"),
}
"""What a prompt of the evaluation asks for, as a question and its right answer; others are not looked at."""


class DemoJudge:
    """Scores pictures of one concept."""

    def __init__(self, kind: Literal["object", "style"], real: Sequence[Picture], judge: Judge | None = None) -> None:
        self._judge = judge or load_judge()
        self._real = self._look([np.asarray(as_trained(one, SIDE_PX).convert("RGB")) for one in real])
        self.common = dict(_in_common(self._real, ABOUT[kind]))
        """What all real pictures show: question to answer."""

    def scores(
        self,
        drawn: Sequence[NDArray[np.uint8]],
        word: Sequence[NDArray[np.uint8]],
        edits: Mapping[str, NDArray[np.uint8]],
    ) -> dict[str, Any]:
        """Mean probability of what is right, in [0, 1], of pictures of the concept, of the real ones, of a plain word.

        `edits` are pictures by their prompts. A score that cannot be given is left out.
        """
        found: dict[str, Any] = {"shows": self.common}
        if self.common:
            shown = {
                "fidelity": self._look(drawn),
                "real_to_real": self._real,
                "initializer_fidelity": self._look(word),
            }
            found |= {name: _share(seen, self.common) for name, seen in shown.items() if seen}
        asked = [line for line in edits if line in ASKED]
        if asked:
            seen = self._look([edits[line] for line in asked])
            pairs = zip(seen, asked, strict=True)
            found["editability"] = float(np.mean([one.probability(*ASKED[line]) for one, line in pairs]))
        return found

    def _look(self, pixels: Sequence[NDArray[np.uint8]]) -> list[Answers]:
        return self._judge.look(np.stack(pixels)) if len(pixels) else []


def knows(model: BaseModel) -> bool:
    """Whether the classifier was made for this base model's world."""
    return (JUDGE / "model.safetensors").is_file() and model.revision == _demo_revision()


@cache
def _demo_revision() -> str:
    return hash_weights(WEIGHTS)


def _in_common(seen: Sequence[Answers], questions: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for question in questions:
        mean_K = np.mean([one.probabilities[question] for one in seen], axis=0)
        answer = Answers({question: mean_K}).answer(question)
        if mean_K.max() >= SURE and (question, answer) != ("effect", NONE):
            found.append((question, answer))
    return found


def _share(seen: Sequence[Answers], facts: Mapping[str, str]) -> float:
    return float(np.mean([one.probability(*fact) for one in seen for fact in facts.items()]))
