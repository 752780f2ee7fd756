"""Concepts to learn guessing from: those of the store whose tenants share them.

Owns which of them can be learned from, and that a training which is taken up again learns from the same ones, as long
as none was taken back. Who may share what is `textinv.jobs.sharing`'s.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from textinv.errors import InputError, ObjectNotFoundError
from textinv.guess.concepts import LEAST_PICTURES, MOST_PICTURES, Concepts, Found, Shown, are_enough
from textinv.guess.measuring import LEAST_HELD_OUT
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import PictureEncoder
from textinv.registry.guesses import LearnedFrom, why_withdrawn
from textinv.registry.shares import Share, shares
from textinv.spec import image_key
from textinv.store.protocol import ObjectStore, side_by_side


class SharedConcepts(Concepts):
    """Shared concepts, told apart by the ids of their shares."""

    def __init__(self, found: Sequence[Share], store: ObjectStore, model: BaseModel, encoder: PictureEncoder) -> None:
        self._shares = {one.id: one for one in found}
        concepts = {key: Found(one.concept, one.kind, partial(_read, store, one)) for key, one in self._shares.items()}
        super().__init__(concepts, model, encoder)

    @property
    def learned_from(self) -> tuple[LearnedFrom, ...]:
        """What the record of a guess says of those that are trained on."""
        mine = [self._shares[key] for key in self.trained]
        return tuple(LearnedFrom(share=one.id, tenant=one.tenant, pictures=_looked_at(one)) for one in mine)


def learnable_shares(store: ObjectStore, base_model: str, base_revision: str) -> Sequence[Share]:
    """The shares of a base model that can be learned from, each set of pictures once.

    Raises:
        InputError: there are too few of them.
    """
    given = shares(store, base_revision)
    distinct = {one.digests: one for one in sorted(given, key=lambda one: one.id) if len(one.digests) >= LEAST_PICTURES}
    found = _present(store, list(distinct.values()))
    enough, held_out = are_enough([one.concept for one in found])
    if not enough:
        raise InputError(
            f"{len(found)} concepts of {base_model} with {LEAST_PICTURES} or more pictures are shared with the guess "
            f"({len(given)} with what was deleted, doubled or has a single one), of which {held_out} are held out: "
            f"nothing can be said of a guess by fewer than {LEAST_HELD_OUT}, which takes about 30 concepts; hundreds "
            "are better. Share more: `share_with_guess: true` in a manifest, `textinv concept share NAME` for what "
            "was learned before, `textinv keys share KEY` for what a key will submit; or train from --folder TREE"
        )
    return found


def ordered_shares(store: ObjectStore, base_model: str, base_revision: str, ids: Sequence[str]) -> Sequence[Share]:
    """The shares that a training was told to learn from.

    Raises:
        InputError: some may not be learned from any more, or their pictures were deleted.
    """
    check_ordered(store, base_model, base_revision, ids)
    known = {one.id: one for one in _present(store, shares(store, base_revision))}
    if lost := [one for one in ids if one not in known]:
        raise InputError(
            f"pictures of {len(lost)} of the {len(ids)} concepts that the guess learns from were deleted: "
            f"{_anew(base_model)}"
        )
    return [known[one] for one in ids]


def source_of(found: Sequence[Share]) -> str:
    """What a record says of where shared concepts came from."""
    tenants = len({one.tenant for one in found})
    return f"{len(found)} shared concepts of {tenants} tenant{'s' if tenants > 1 else ''}"


def check_ordered(store: ObjectStore, base_model: str, base_revision: str, ids: Sequence[str]) -> None:
    """Check that a training may go on learning from these shares.

    Raises:
        InputError: some were taken back.
    """
    if why := why_withdrawn(store, base_revision, set(ids)):
        raise InputError(f"{why}: {_anew(base_model)}")


def _anew(base_model: str) -> str:
    return f"train it anew, without them (`textinv guess train --base {base_model}`)"


def pinned_shares(store: ObjectStore, base_model: str, base_revision: str, state: Path) -> Sequence[Share]:
    """What a training learns from whose state is to lie in `state`: what it began with, if all of it still may be
    learned from; else it begins anew, without what was withdrawn.

    Raises:
        InputError: there is too little.
    """
    pinned = state.with_suffix(".json")
    began_with: list[str] = json.loads(pinned.read_text()) if pinned.is_file() else []
    known = {one.id: one for one in _present(store, shares(store, base_revision))}
    if state.is_file() and began_with and known.keys() >= set(began_with):
        return [known[one] for one in began_with]
    state.unlink(missing_ok=True)
    found = learnable_shares(store, base_model, base_revision)
    pinned.parent.mkdir(parents=True, exist_ok=True)
    pinned.write_text(json.dumps([one.id for one in found]))
    return found


def forget(state: Path) -> None:
    """Delete what is kept of a training."""
    for file in (state, state.with_suffix(".json")):
        file.unlink(missing_ok=True)


def _present(store: ObjectStore, found: Sequence[Share]) -> Sequence[Share]:
    """Those whose pictures are all there."""
    digests = sorted({digest for one in found for digest in one.digests})
    exist = dict(zip(digests, side_by_side(lambda one: store.exists(image_key(one)), digests), strict=True))
    return [one for one in found if all(exist[digest] for digest in one.digests)]


def _read(store: ObjectStore, share: Share) -> Sequence[Shown]:
    try:
        return [
            Shown(store.get(image_key(one.digest)).body, one.digest[:12], [one.caption] if one.caption else [])
            for one in share.pictures[:MOST_PICTURES]
        ]
    except ObjectNotFoundError as error:
        raise InputError(
            f"pictures of {share.concept} were deleted while a guess learned from them: train it again, without them"
        ) from error


def _looked_at(share: Share) -> tuple[str, ...]:
    return tuple(one.digest for one in share.pictures[:MOST_PICTURES])
