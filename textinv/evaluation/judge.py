"""A judge: a small classifier beside a base model's weights, that no recipe sees, so that none can please it instead.

Owns what a judge is and what it is asked: what the real pictures have in common, how plainly drawn ones show the same,
and whether a prompt got what it asked for. Does not know how a judge works (`classifier` is the kind that ships), nor
which questions it answers.

Legend: B pictures, H rows, W columns, C channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from textinv.errors import BaseModelError
from textinv.evaluation.prompts import Kind
from textinv.images import Picture, as_trained

Pixels = NDArray[np.uint8]
SURE = 0.5
"""Real pictures have an answer in common when its mean probability is at least this."""


@dataclass(frozen=True)
class Answers:
    """What a judge sees in one picture: the probability of each answer to each question."""

    probabilities: Mapping[str, Mapping[str, float]]

    def answer(self, question: str) -> str:
        """The likeliest answer."""
        return likeliest(self.probabilities[question])

    def probability(self, question: str, answer: str) -> float:
        """How likely one answer is, in [0, 1]."""
        return self.probabilities[question][answer]


class Judge(Protocol):
    """Answers questions about pictures."""

    @property
    def size_px(self) -> int:
        """Side of the pictures that it looks at."""

    @property
    def questions(self) -> Mapping[str, Sequence[str]]:
        """What it is asked of every picture, and the possible answers."""

    @property
    def about(self) -> Mapping[Kind, Sequence[str]]:
        """The questions that tell concepts of a kind apart."""

    @property
    def says_nothing(self) -> Sequence[tuple[str, str]]:
        """Answers that are no trait of a concept, such as that there is no pattern."""

    def look(self, pixels_BHWC: Pixels) -> list[Answers]:
        """Look at pictures of its size."""


class Opinion:
    """What a judge says of drawings of one concept."""

    def __init__(self, judge: Judge, kind: Kind, real: Sequence[Picture]) -> None:
        self._judge = judge
        self._real = self._look([np.asarray(as_trained(one, judge.size_px).convert("RGB")) for one in real])
        self.common = dict(_in_common(self._real, judge.about[kind], judge.says_nothing))
        """What all real pictures show: question to answer."""

    def scores(
        self,
        drawn: Sequence[Pixels],
        word: Sequence[Pixels],
        edits: Mapping[str, Pixels],
        asks: Mapping[str, tuple[str, str]],
    ) -> dict[str, Any]:
        """Mean probability of what is right, in [0, 1], of pictures of the concept, of the real ones, of a plain word.

        `edits` are pictures by their prompts, `asks` what these ask for: a question and its right answer. A score that
        cannot be given is left out.
        """
        found: dict[str, Any] = {"shows": self.common}
        if self.common:
            shown = {
                "fidelity": self._look(drawn),
                "real_to_real": self._real,
                "initializer_fidelity": self._look(word),
            }
            found |= {name: share_of(seen, self.common) for name, seen in shown.items() if seen}
        asked = [line for line in edits if line in asks]
        if asked:
            seen = self._look([edits[line] for line in asked])
            pairs = zip(seen, asked, strict=True)
            found["editability"] = float(np.mean([one.probability(*asks[line]) for one, line in pairs]))
        return found

    def _look(self, pictures: Sequence[Pixels]) -> list[Answers]:
        fitted = [_fitted(pixels, self._judge.size_px) for pixels in pictures]
        return self._judge.look(np.stack(fitted)) if fitted else []


def check_asks(judge: Judge, asks: Mapping[str, tuple[str, str]]) -> None:
    """Check that what prompts ask for are questions that a judge answers so.

    Raises:
        BaseModelError: one is not.
    """
    for line, (question, answer) in asks.items():
        if answer not in judge.questions.get(question, ()):
            raise BaseModelError(
                f"the evaluation prompt {line!r} asks for {question}: {answer}, which is not one of the judge's "
                "answers; correct it in evaluation.json, or give the judge that answer"
            )


def share_of(seen: Sequence[Answers], facts: Mapping[str, str]) -> float:
    """Mean probability of facts, question to answer, over what was seen."""
    return float(np.mean([one.probability(*fact) for one in seen for fact in facts.items()]))


def likeliest(probabilities: Mapping[str, float]) -> str:
    """The answer with the highest probability."""
    return max(probabilities, key=lambda answer: probabilities[answer])


def _in_common(
    seen: Sequence[Answers], questions: Sequence[str], says_nothing: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    found = []
    for question in questions:
        mean = {
            answer: float(np.mean([one.probability(question, answer) for one in seen]))
            for answer in seen[0].probabilities[question]
        }
        answer = likeliest(mean)
        if mean[answer] >= SURE and (question, answer) not in says_nothing:
            found.append((question, answer))
    return found


def _fitted(pixels: Pixels, size_px: int) -> Pixels:
    if pixels.shape[:2] == (size_px, size_px):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.BICUBIC))
