"""From a checked request to pictures: starting a draw, and waiting for it.

Owns what all image routes share. Does not know any route's format.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from services.access.in_flight import Running
from services.api.answering import header_list
from services.drawing.studio import Begun, DrawEvent, Drawing, Drawn, Progress, Sketch
from textinv.errors import FlaggedError, ServiceError

# `name@version=digest`, the digest as short as A1111's hashes.
_DIGEST_CHARS = 12


@dataclass(frozen=True, eq=False)
class Finished:
    """All pictures of a request and the concepts they use (name@version -> digest).

    `learned_on`: the base models of those that were learned on another one.
    """

    drawings: tuple[Drawing, ...]
    concepts: Mapping[str, str]
    learned_on: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What people are to be told of how they were drawn."""


async def begin(events: AsyncGenerator[DrawEvent, None]) -> Begun:
    """Start a draw and wait until it is accepted; whoever has the generator closes it.

    Raises:
        TextinvError: it was refused.
    """
    first = await anext(events)
    if not isinstance(first, Begun):
        await events.aclose()
        raise ServiceError(f"the studio began its answer with {type(first).__name__}; is it of another release?")
    return first


async def finish(events: AsyncGenerator[DrawEvent, None], running: Running | None = None) -> Finished:
    """Draw to the end; `running` is told how far it is.

    Raises:
        TextinvError: it was refused or failed.
    """
    async with aclosing(events):
        begun = await begin(events)
        async for event in events:
            if isinstance(event, Progress) and running is not None:
                running.share = event.share
            if isinstance(event, Sketch) and running is not None and event.image == 0:
                running.sketch = event.pixels
            if isinstance(event, Drawn):
                return Finished(event.drawings, begun.concepts, begun.learned_on, begun.notes)
    raise ServiceError("the studio ended without the pictures; ask again")


def check_flagged(drawings: Sequence[Drawing]) -> None:
    """Check that there is a picture to show; of several, those that were flagged stay black.

    Raises:
        FlaggedError: the safety checker flagged all of them.
    """
    if drawings and all(drawing.flagged for drawing in drawings):
        raise FlaggedError(
            "the base model's safety checker flagged every picture of this request; change the prompt or the seed"
        )


def flag_of(drawing: Drawing) -> dict[str, bool]:
    """What an answer says of a picture that was flagged."""
    return {"flagged": True} if drawing.flagged else {}


def learned_on_of(learned_on: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What an answer says of concepts that were learned on another base model."""
    return {"learned_on": dict(learned_on)} if learned_on else {}


def notes_of(notes: Sequence[str]) -> dict[str, list[str]]:
    """What an answer says of how its pictures were drawn, where there is something to say."""
    return {"notes": list(notes)} if notes else {}


def notes_header(notes: Sequence[str]) -> dict[str, str]:
    """The header that says the same; a comma would part it."""
    return {"x-textinv-notes": header_list([note.replace(",", ";") for note in notes])} if notes else {}


def concepts_header(concepts: Mapping[str, str]) -> dict[str, str]:
    """The header that says which concept versions a picture uses; of very many the first, as its infotext has all."""
    return {"x-textinv-concepts": header_list([f"{ref}={digest[:_DIGEST_CHARS]}" for ref, digest in concepts.items()])}
