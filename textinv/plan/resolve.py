"""What a person wrote, laid over a recipe and a base model: one complete spec per concept.

Owns the order in which a value is looked for (the concept, the manifest's defaults, the recipe) and what needs to be
known of a base model for that, without loading it. Pictures and initializers come from elsewhere, already pinned.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from textinv.manifest.fields import AdvancedFields, ConceptFields, Manifest, TrainingFields
from textinv.manifest.origin import Place, Problem
from textinv.plan.base_memory import keep, recall
from textinv.plan.recipes import (
    DEFAULT_RECIPE,
    LEARNING_RATES,
    PUBLISHED,
    RECIPES,
    Recipe,
    published_recipe,
    steps_between_looks,
)
from textinv.plan.templates import TEMPLATES
from textinv.settings import Settings
from textinv.spec import Crop, Kind, OptimizerSpec, PictureRef, StopSpec, TrainSpec


@dataclass(frozen=True)
class BaseFacts:
    """What a plan needs to know of a base model."""

    revision: str
    native_px: int
    """The size that it was trained at."""
    has_clip: bool = True
    """Whether it has a CLIP of its own, which scores what is learned on it; True where nobody looked."""
    row_widths: Mapping[str, int] = field(default_factory=dict)
    """Widths of its rows by text encoder; empty where nobody looked."""
    takes_sizes: bool = False
    """Whether it is told a picture's sizes beside the text."""
    learns_shapes: bool = False
    """Whether pictures are learned in their own shape unless a manifest says otherwise."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """What was published for its family, with the `source`; empty where nothing was."""
    file_keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Keys of its text encoders' rows in files; empty where these are files of one or two CLIPs."""
    learns: Sequence[str] = ()
    """The text encoders that learn unless a manifest says otherwise; empty: all."""
    compared: Sequence[str] = ()
    """Those whose words the context term compares; empty: all."""
    whole: Sequence[str] = ()
    """Those of which only one vector of the whole text is heard."""
    note: str = ""
    """What is worth knowing of learning on its family."""
    guess_file: str = ""
    """Path of the guess that lies in its folder; empty where none does."""


@dataclass(frozen=True)
class Beginning:
    """Where rows start, as a spec says it."""

    init: str
    embedding: str | None = None
    """In base64."""
    digest: str | None = None
    """Of what the rows come from, where `init` only names it."""


def base_name(manifest: Manifest) -> str:
    """The base model as a worker can find it: a path is made absolute, and how weights are kept is said behind it."""
    name, folder = manifest.base_model, manifest.origin.folder
    if manifest.weights != "auto":
        name += f"{'&' if '?' in name else '?'}weights={manifest.weights}"
    if folder is not None and name.startswith((".", "~")):
        return str((folder / Path(name).expanduser()).resolve())
    return name


def base_facts(manifest: Manifest, settings: Settings) -> BaseFacts:
    """Look a base model up.

    Raises:
        BaseModelError: it cannot be found or read.
    """
    name, revision = base_name(manifest), manifest.revision
    known = recall(name, revision, settings)
    if known is None or set(known) != {each.name for each in fields(BaseFacts)}:  # another program's
        from textinv.models import look_up  # torch: only when nobody looked it up before

        known = look_up(name, revision=revision, aliases=settings.base_models)._asdict()
        keep(name, revision, settings, known)
    return BaseFacts(**known)


LEAST_SAMPLES = 8
"""In a fixed batch by which a concept stops."""


class Values:
    """The fields that hold for one concept, by name; those under `advanced` stand among the others."""

    def __init__(self, manifest: Manifest, concept: ConceptFields, base: BaseFacts | None = None) -> None:
        self.manifest = manifest
        self.concept = concept
        self.base = base
        self._own = _written(concept)
        self._stated = _written(manifest.defaults) | self._own
        published = base.recipe if base else {}
        self.lacks_published = base is not None and not published and self._stated.get("recipe") == PUBLISHED
        """Whether the manifest asks for a recipe that the base model does not have."""
        self.recipe_name: str = self._stated.get("recipe", PUBLISHED if published else DEFAULT_RECIPE)
        is_published = self.recipe_name == PUBLISHED and bool(published)
        self.recipe = (
            published_recipe(published) if is_published else RECIPES.get(self.recipe_name, RECIPES[DEFAULT_RECIPE])
        )

    def stated(self, field: str) -> Any:
        """What the manifest says of a field, None for nothing."""
        return self._stated.get(field)

    def __getitem__(self, field: str) -> Any:
        """What holds for a field of the recipe."""
        value = self._stated.get(field)
        return getattr(self.recipe, field) if value is None else value

    def shared(self, spec: type[BaseModel], prefix: str = "") -> dict[str, Any]:
        """What holds for the fields of a spec that a recipe has as well, there with a prefix: by name, so that a new
        one needs no line here."""
        names = {field.name for field in fields(Recipe)}
        return {field: self[prefix + field] for field in spec.model_fields if prefix + field in names}

    def place(self, index: int, field: str) -> Place:
        """Where a field is written: in the concept, else in the defaults."""
        inside: Place = ("advanced", field) if field in AdvancedFields.model_fields else (field,)
        return ("concepts", index, *inside) if field in self._own else ("defaults", *inside)


def _written(fields: TrainingFields) -> dict[str, Any]:
    """The fields that were written."""
    advanced = vars(fields.advanced) if fields.advanced else {}
    return {field: value for field, value in (vars(fields) | advanced).items() if value is not None}


def resolution_of(values: Values, base: BaseFacts) -> int:
    """Side of the square that the concept is trained at."""
    return int(values["resolution_px"] or base.native_px)


def crop_of(values: Values, base: BaseFacts) -> Crop:
    """What is kept of the concept's pictures."""
    stated: Crop | None = values.stated("crop")
    return stated or ("fit" if base.learns_shapes else "center")


def resolve_spec(values: Values, pictures: Sequence[PictureRef], base: BaseFacts, beginning: Beginning) -> TrainSpec:
    """Fill in every value of a concept."""
    concept = values.concept
    kind: Kind = values.stated("kind") or "object"
    class_word = values.stated("class_word")
    templates = values.stated("templates") or kind
    given: dict[str, Any] = {
        "name": concept.name,
        "kind": kind,
        "pictures": tuple(pictures),
        "base_model": base_name(values.manifest),
        "base_revision": base.revision,
        "class_word": class_word,
        "init": beginning.init,
        "init_embedding": beginning.embedding,
        "start_digest": beginning.digest,
        "encoders": _encoders(values, base),
        "rows": values.stated("rows") or "input",
        "resolution_px": resolution_of(values, base),
        "tells_sizes": base.takes_sizes,
        "crop": crop_of(values, base),
        "flip": bool(values.stated("flip")),
        "templates": TEMPLATES[templates] if isinstance(templates, str) else tuple(templates),
        "min_steps": _min_steps(values),
        "optimizer": _optimizer(values),
        "stop": _stop(values),
        "seed": values.stated("seed") or 0,
        "preview_every": values.stated("preview_every") or 0,
        "evaluate": values.stated("evaluate") is not False,
        "recipe": values.recipe_name,
    }
    if not class_word:
        given["context_weight"] = 0.0
    return TrainSpec(**{**values.shared(TrainSpec), **given})


def broken_combinations(values: Values, index: int) -> Iterator[Problem]:
    """What the fields that hold for a concept may not say together."""
    problem, optimizer = values.manifest.origin.problem, values["optimizer"]
    if values.lacks_published:
        known = ", ".join(RECIPES)
        yield problem(values.place(index, "recipe"), f"nothing is published for this base model: write one of {known}")
    if values.stated("kappa") and optimizer != "sphere":
        yield problem(values.place(index, "kappa"), f"it is for sphere, but the optimizer is {optimizer}: drop one")
    rate = values.stated("learning_rate")
    if rate is not None and optimizer == "sphere" and rate > math.pi / 2:
        yield problem(
            values.place(index, "learning_rate"),
            f"{rate} radians is more than a quarter turn per step: sphere wants about 0.01 to 0.3",
        )
    if values.stated("context_weight") and not values.stated("class_word"):
        yield problem(values.place(index, "context_weight"), "it needs a class_word to compare with: write one")
    if unknown := sorted(set(values.stated("encoders") or ()) - _known_encoders(values)):
        has = ", ".join(sorted(_known_encoders(values)))
        yield problem(
            values.place(index, "encoders"), f"the base model has no text encoder {unknown[0]!r}: write some of {has}"
        )
    elif values.stated("rows") == "output" and (chosen := _chosen(values)) and chosen <= _whole(values):
        yield problem(
            values.place(index, "rows"),
            f"of {' and '.join(sorted(chosen))} the base model reads only one vector for the whole text, which rows "
            "cannot replace: write rows: input, or name other encoders",
        )
    samples = values.stated("stop_samples")
    if samples is not None and samples < LEAST_SAMPLES and values["stop"] == "dvar":
        yield problem(
            values.place(index, "stop_samples"),
            f"{samples} samples are too few to stop by: write {LEAST_SAMPLES} or more, or stop: fixed",
        )
    min_steps, max_steps = values.stated("min_steps"), values["max_steps"]
    if min_steps is not None and min_steps > max_steps:
        yield problem(values.place(index, "min_steps"), f"{min_steps} is more than max_steps ({max_steps}): lower it")


def _chosen(values: Values) -> set[str]:
    """The text encoders that learn, as far as anybody says."""
    return set(values.stated("encoders") or (values.base.learns or values.base.row_widths if values.base else ()))


def _whole(values: Values) -> set[str]:
    return set(values.base.whole if values.base else ())


def _known_encoders(values: Values) -> set[str]:
    """The base model's text encoders; where nobody looked, whatever is stated."""
    looked_up = values.base.row_widths if values.base else {}
    return set(looked_up or values.stated("encoders") or ())


def _encoders(values: Values, base: BaseFacts) -> tuple[str, ...]:
    """The text encoders that learn, in the base model's order; none are named where all do."""
    chosen = values.stated("encoders") or base.learns
    names = list(base.row_widths) or sorted(chosen)
    return () if set(chosen) >= set(base.row_widths or ["?"]) else tuple(name for name in names if name in chosen)


def _min_steps(values: Values) -> int:
    stated = values.stated("min_steps")
    return int(min(values.recipe.min_steps, values["max_steps"]) if stated is None else stated)


def _optimizer(values: Values) -> OptimizerSpec:
    kind, rate = values["optimizer"], values.stated("learning_rate")
    if rate is None:
        rate = values.recipe.learning_rate if kind == values.recipe.optimizer else LEARNING_RATES[kind]
    given = {"kind": kind, "learning_rate": rate} | ({} if kind == "sphere" else {"kappa": 0.0})
    return OptimizerSpec(**{**values.shared(OptimizerSpec), **given})


def _stop(values: Values) -> StopSpec:
    samples = values["stop_samples"]
    every_steps = values.stated("stop_every") or steps_between_looks(values["samples_per_step"], samples)
    given = {"rule": values["stop"], "every_steps": every_steps, "num_samples": samples}
    return StopSpec(**{**values.shared(StopSpec, "stop_"), **given})
