"""The pictures of a manifest: found, looked at, pinned by digest.

Owns what is wrong with pictures and what is only unwise: every problem of every concept at once, with its line. Does
not train and does not upload.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from textinv.errors import ImageError
from textinv.images.duplicates import same_looks
from textinv.images.fit import kept_share, mask_problem, trained_size
from textinv.manifest.fields import ConceptFields, ImageEntry
from textinv.manifest.origin import Origin, Place, Problem
from textinv.manifest.rules import caption_problem, caption_text
from textinv.plan.picture_check import REFUSED, size_problem
from textinv.plan.picture_facts import FactsCache, PictureFacts
from textinv.plan.shelf import Shelf
from textinv.plan.sources import Source
from textinv.spec import Crop, PictureRef

ADVISED = 3
LEAST_KEPT = 2 / 3
"""Pictures that lose over a third to the crop are worth a warning."""


@dataclass(frozen=True)
class Found:
    """A picture that a concept names, with its caption and mask, not yet opened."""

    source: Source
    place: Place
    caption: str | None = None
    mask: Source | None = None


@dataclass
class Gathered:
    """The pictures of one concept: pinned, with all that is wrong or unwise."""

    pictures: list[PictureRef] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    """By digest, masks included."""
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class Wanted:
    """A concept whose pictures are wanted, and the sizes they should have."""

    index: int
    concept: ConceptFields
    resolution_px: int
    min_size_px: int
    crop: Crop | None = "center"
    """None: not known yet, so nothing can be said of what is cut off."""


def gather_all(
    wanted: Sequence[Wanted],
    origin: Origin,
    shelf: Shelf,
    cache: FactsCache,
    progress: Callable[[int, int], None] | None = None,
) -> list[Gathered]:
    """Gather the pictures of all concepts, many at once; `progress` hears (done, all)."""
    gathered = []
    with ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as pool:
        for done in pool.map(lambda one: gather(one, origin, shelf, cache), wanted):
            gathered.append(done)
            if progress:
                progress(len(gathered), len(wanted))
    cache.save()
    return gathered


def gather(wanted: Wanted, origin: Origin, shelf: Shelf, cache: FactsCache) -> Gathered:
    """Find and look at the pictures of one concept."""
    gathered = Gathered()
    facts: list[tuple[Found, PictureFacts]] = []
    for found in _find(wanted, origin, shelf, gathered):
        try:
            picture = cache.facts(found.source)
            mask = cache.facts(found.mask) if found.mask else None
        except ImageError as error:
            gathered.problems.append(origin.problem(found.place, error.message))
            continue
        facts.append((found, picture))
        gathered.problems += _too_small(wanted, found, picture, origin)
        gathered.problems += _bad_mask(found, picture, mask, origin)
        _pin(gathered, found, picture, mask)
    place = ("concepts", wanted.index, "images")
    gathered.warnings += [origin.problem(place, text) for text in _unwise(wanted, facts)]
    return gathered


def _pin(gathered: Gathered, found: Found, picture: PictureFacts, mask: PictureFacts | None) -> None:
    gathered.sources[picture.digest] = found.source
    if mask is not None and found.mask is not None:
        gathered.sources[mask.digest] = found.mask
    gathered.pictures.append(
        PictureRef(
            digest=picture.digest,
            name=found.source.name.rpartition("/")[2],
            caption=found.caption,
            mask_digest=mask.digest if mask else None,
        )
    )


def _find(wanted: Wanted, origin: Origin, shelf: Shelf, gathered: Gathered) -> Iterator[Found]:
    """What a concept's `images` means, with captions and masks."""
    concept, place = wanted.concept, ("concepts", wanted.index, "images")
    listed = isinstance(concept.images, list)
    entries: Sequence[str | ImageEntry] = concept.images if isinstance(concept.images, list) else [concept.images]
    for number, entry in enumerate(entries):
        at: Place = (*place, number) if listed else place
        try:
            if isinstance(entry, ImageEntry):
                yield _entry(entry, concept, at, shelf)
                continue
            sources, passed = shelf.pictures(entry)
            masks = f"{(concept.masks or '').rstrip('/').rpartition('/')[2]}/"
            passed = [name for name in passed if name != masks]
            if passed:
                text = f"passed over {', '.join(passed[:3])}{' and others' if len(passed) > 3 else ''}: no pictures"
                gathered.warnings.append(origin.problem(at, text))
            for source in sources:
                yield _beside(source, concept, at, shelf)
        except ImageError as error:
            gathered.problems.append(origin.problem(at, error.message))


def _entry(entry: ImageEntry, concept: ConceptFields, place: Place, shelf: Shelf) -> Found:
    source = shelf.one(entry.file)
    caption = caption_text(entry.caption, concept.name) if entry.caption is not None else None
    mask = shelf.one(entry.mask) if entry.mask is not None else _mask(source, concept, shelf)
    if caption is None:
        caption = _caption(source, concept, shelf)
    return Found(source, place, caption, mask)


def _beside(source: Source, concept: ConceptFields, place: Place, shelf: Shelf) -> Found:
    return Found(source, place, _caption(source, concept, shelf), _mask(source, concept, shelf))


def _caption(source: Source, concept: ConceptFields, shelf: Shelf) -> str | None:
    """The caption in the text file beside a picture.

    Raises:
        ImageError: it cannot be used.
    """
    found = shelf.captions(source) if concept.captions != "ignore" else []
    texts = {_text(one): one for one in reversed(found)}
    if len(texts) > 1:
        named = " and ".join(one.name.rpartition("/")[2] for one in found)
        raise ImageError(f"{source.name} has several captions that differ, {named}: keep one, or set captions: ignore")
    for caption, beside in texts.items():
        if problem := caption_problem(caption, concept.name):
            raise ImageError(f"{beside.name}: {problem}")
        return caption_text(caption, concept.name)
    return None


def _text(beside: Source) -> str:
    try:
        return " ".join(beside.read().decode("utf-8-sig").split())
    except UnicodeDecodeError:
        raise ImageError(f"{beside.name} is not UTF-8 text: save it as UTF-8, or set captions: ignore") from None


def _mask(source: Source, concept: ConceptFields, shelf: Shelf) -> Source | None:
    if concept.masks is None:
        return None
    stem = _stem(source.name)
    masks = [mask for mask in shelf.pictures(concept.masks)[0] if _stem(mask.name) == stem]
    if len(masks) != 1:
        raise ImageError(f"{len(masks)} masks in {concept.masks!r} are called {stem!r}: give each picture one")
    return masks[0]


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]


def _too_small(wanted: Wanted, found: Found, facts: PictureFacts, origin: Origin) -> Iterator[Problem]:
    problem = size_problem(facts, wanted.resolution_px, wanted.min_size_px, wanted.crop or "center")
    if problem is not None and problem[0] in REFUSED:
        yield origin.problem(found.place, f"{found.source.name} {problem[1]}, or lower min_size_px")


def _bad_mask(found: Found, picture: PictureFacts, mask: PictureFacts | None, origin: Origin) -> Iterator[Problem]:
    if mask is not None and found.mask is not None:
        sizes = (mask.width_px, mask.height_px), (picture.width_px, picture.height_px)
        if problem := mask_problem(*sizes, mask.peak):
            yield origin.problem(found.place, f"the mask {found.mask.name} {problem}")


def _unwise(wanted: Wanted, facts: Sequence[tuple[Found, PictureFacts]]) -> Iterator[str]:
    if len(facts) == 1:
        yield f"one picture only: the concept cannot be told from its background; {ADVISED} to 5 are better"
    for first, second in same_looks([(found.source.name, picture.look) for found, picture in facts]):
        yield f"{first} and {second} look the same: a second copy teaches nothing"
    for found, one in facts:
        if wanted.crop is not None:
            yield from _much_cut(found.source.name, (one.width_px, one.height_px), wanted.resolution_px, wanted.crop)
    for found, one in facts:
        if one.note:
            yield f"{found.source.name} {one.note}"
    sizes = wanted.resolution_px, wanted.min_size_px, wanted.crop or "center"
    small = [found.source.name for found, one in facts if size_problem(one, *sizes)]
    if small:
        yield f"{', '.join(small[:3])}: smaller than the {wanted.resolution_px} pixels trained at, so it is enlarged"


def _much_cut(name: str, size: tuple[int, int], resolution_px: int, crop: Crop) -> Iterator[str]:
    shape = trained_size(size, resolution_px, crop)
    kept = kept_share(size, shape)
    if kept < LEAST_KEPT:
        shapes = "as squares" if crop != "fit" else f"at {shape[0]} x {shape[1]} at most"
        yield (
            f"{name} is {size[0]} x {size[1]}: {1 - kept:.0%} of it is cut off, as pictures are trained {shapes}; "
            "crop it to what matters"
        )
