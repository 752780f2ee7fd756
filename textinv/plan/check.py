"""Everything that can be said about a manifest without loading a base model or asking a store.

Owns going on after the first problem: where a manifest as a whole cannot be read, the pictures of its well-formed
concepts are still looked at, so that a person has to mend it once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textinv.errors import TextinvError
from textinv.images.fit import LEAST_SIDE_PX
from textinv.manifest.fields import Manifest, TrainingFields
from textinv.manifest.load import Draft, draft_manifest
from textinv.manifest.origin import Problem, in_order
from textinv.manifest.rules import EMBEDDING_FILE
from textinv.native_size import native_px_on_disk
from textinv.plan.initializers import embedding_of
from textinv.plan.picture_check import least_px
from textinv.plan.picture_facts import FactsCache
from textinv.plan.pictures import Gathered, Wanted, gather_all
from textinv.plan.resolve import Values, base_name, broken_combinations
from textinv.plan.shelf import shelf_for
from textinv.settings import Settings
from textinv.spec import Crop


@dataclass(frozen=True)
class Checked:
    """What is wrong with a manifest, and what is only unwise."""

    file: str
    problems: Sequence[Problem]
    warnings: Sequence[Problem]
    concepts: int
    pictures: int

    def to_json(self) -> dict[str, Any]:
        """What people and programs are told of it."""
        return {
            "file": self.file,
            "valid": not self.problems,
            "concepts": self.concepts,
            "pictures": self.pictures,
            "problems": [vars(problem) for problem in self.problems],
            "warnings": [vars(warning) for warning in self.warnings],
        }


def check_manifest(path: Path, settings: Settings) -> Checked:
    """Check a manifest and its pictures.

    Raises:
        ManifestError: there is no such file, or it is no text.
        StoreError: pictures lie in a store that cannot be read.
    """
    draft = draft_manifest(path)
    native_px = _native_px(draft.manifest, settings)
    gathered = _pictures(draft, native_px, settings)
    problems = [*draft.problems, *(problem for one in gathered for problem in one.problems)]
    if draft.manifest is not None:
        problems += [*_combinations(draft.manifest), *_embeddings(draft.manifest)]
    warnings = [warning for one in gathered for warning in one.warnings]
    if draft.manifest is not None and native_px is None and not draft.manifest.defaults.resolution_px:
        text = f"{draft.manifest.base_model!r} is not a folder here, so `textinv plan` checks the sizes of pictures"
        warnings.append(draft.origin.problem(("base_model",), text))
    return Checked(
        file=str(path),
        problems=in_order(problems),
        warnings=in_order(warnings),
        concepts=len(draft.concepts),
        pictures=sum(len(one.pictures) for one in gathered),
    )


def _native_px(manifest: Manifest | None, settings: Settings) -> int | None:
    """The size that the base model was trained at, if that can be read here and now."""
    if manifest is None:
        return None
    name = base_name(manifest).partition("?")[0]
    return native_px_on_disk(Path(settings.base_models.get(name, name).partition("?")[0]).expanduser())


def _pictures(draft: Draft, native_px: int | None, settings: Settings) -> list[Gathered]:
    defaults = draft.manifest.defaults if draft.manifest else TrainingFields()
    wanted = []
    for index, concept in draft.concepts:
        resolution_px = concept.resolution_px or defaults.resolution_px or native_px or 1
        stated_px = concept.min_size_px or defaults.min_size_px
        crop = concept.crop or defaults.crop or _crop(native_px)
        wanted.append(Wanted(index, concept, resolution_px, least_px(resolution_px, stated_px), crop))
    return gather_all(wanted, draft.origin, shelf_for(draft.origin, settings), FactsCache(settings.home))


def _crop(native_px: int | None) -> Crop | None:
    """What is kept of pictures where nobody says; None: the base model decides it, and cannot be seen from here."""
    if native_px is None:
        return None
    return "fit" if native_px >= LEAST_SIDE_PX else "center"


def _combinations(manifest: Manifest) -> list[Problem]:
    return [
        problem
        for index, concept in enumerate(manifest.concepts)
        for problem in broken_combinations(Values(manifest, concept), index)
    ]


def _embeddings(manifest: Manifest) -> list[Problem]:
    """The files that rows start from: whether they can be read. Whether they fit the base model, a plan knows."""
    problems, read = [], set()
    for index, concept in enumerate(manifest.concepts):
        values = Values(manifest, concept)
        init = str(values["init"] or "").strip()
        if not init.startswith(EMBEDDING_FILE) or init in read:
            continue
        try:
            embedding_of(init, manifest.origin)
            read.add(init)
        except TextinvError as error:
            problems.append(manifest.origin.problem(values.place(index, "init"), error.message))
    return problems
