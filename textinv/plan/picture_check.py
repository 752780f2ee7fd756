"""One picture looked at on its own, before there is a manifest: what would be said of it when it is planned.

Owns the kinds of problems and their words. Does not decode and does not know where pictures lie.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from textinv.images.duplicates import are_alike
from textinv.plan.facts import PictureFacts

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


def check_picture(
    facts: PictureFacts, resolution_px: int, min_size_px: int | None = None, others: Mapping[str, PictureFacts] = {}
) -> Iterator[PictureProblem]:
    """Find what is wrong with a picture that is to be trained at `resolution_px`, beside `others` (by digest).

    `min_size_px` None: half of the resolution, as in a manifest.
    """
    shorter, least = min(facts.width_px, facts.height_px), min_size_px or resolution_px // 2
    size = f"{facts.width_px} x {facts.height_px}"
    if shorter < least:
        yield PictureProblem(
            "too_small", f"it is {size}: its shorter side must have {least} pixels; use a larger picture"
        )
    elif shorter < resolution_px:
        yield PictureProblem("enlarged", f"it is {size}, smaller than the {resolution_px} pixels trained at: enlarged")
    for digest, other in others.items():
        if digest == facts.digest:
            yield PictureProblem("same_picture", "it is the very same picture: a second copy teaches nothing", digest)
        elif are_alike(facts.look, other.look):
            yield PictureProblem(
                "near_duplicate", f"it looks the same as {digest[:12]}: a second copy teaches nothing", digest
            )
