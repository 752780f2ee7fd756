"""One picture looked at on its own, before there is a manifest: what would be said of it when it is planned.

Owns the kinds of problems and their words. Does not decode and does not know where pictures lie.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from textinv.images.duplicates import are_alike
from textinv.images.fit import trained_size
from textinv.plan.picture_facts import PictureFacts
from textinv.spec import Crop

ProblemKind = Literal["too_small", "enlarged", "near_duplicate", "same_picture"]
REFUSED: frozenset[ProblemKind] = frozenset(("too_small",))
"""Kinds for which planning refuses the picture; the others are only unwise."""


@dataclass(frozen=True)
class PictureProblem:
    """Something that is wrong with a picture, or unwise; `other` is the digest of the picture that it resembles."""

    kind: ProblemKind
    message: str
    other: str | None = None

    @property
    def is_refused(self) -> bool:
        """Whether a plan with this picture is refused."""
        return self.kind in REFUSED


def least_px(resolution_px: int, stated_px: int | None) -> int:
    """The least that a picture's shorter side may have: what is stated, else half of the resolution."""
    return stated_px or max(1, resolution_px // 2)


def size_problem(
    facts: PictureFacts, resolution_px: int, min_size_px: int, crop: Crop = "center"
) -> tuple[ProblemKind, str] | None:
    """What is wrong with a picture's size, if anything, in words that follow the picture's name."""
    shorter, size = min(facts.width_px, facts.height_px), f"{facts.width_px} x {facts.height_px}"
    if shorter < min_size_px:
        return "too_small", f"is {size}: its shorter side must have {min_size_px} pixels; use a larger picture"
    width, height = trained_size((facts.width_px, facts.height_px), resolution_px, crop)
    if facts.width_px < width or facts.height_px < height:
        return "enlarged", f"is {size}, smaller than the {resolution_px} pixels trained at: enlarged"
    return None


def check_picture(
    facts: PictureFacts,
    resolution_px: int,
    min_size_px: int | None = None,
    others: Mapping[str, PictureFacts] = {},
    crop: Crop = "center",
) -> Iterator[PictureProblem]:
    """Find what is wrong with a picture that is to be trained at `resolution_px`, beside `others` (by digest).

    `min_size_px` None: half of the resolution, as in a manifest.
    """
    if found := size_problem(facts, resolution_px, least_px(resolution_px, min_size_px), crop):
        yield PictureProblem(found[0], f"it {found[1]}")
    for digest, other in others.items():
        if digest == facts.digest:
            yield PictureProblem(
                "same_picture", "it is exactly the same picture: a second copy teaches nothing", digest
            )
        elif are_alike(facts.look, other.look):
            yield PictureProblem(
                "near_duplicate", f"it looks the same as {digest[:12]}: a second copy teaches nothing", digest
            )
