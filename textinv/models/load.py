"""Load a base model by name; look its revision and size up without loading it.

Owns choosing the family and translating the libraries' errors. Does not know what families do.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from textinv.errors import BaseModelError, in_a_line
from textinv.models.base import BaseModel
from textinv.models.clip import has_clip, load_clip
from textinv.models.drawing import FILE
from textinv.models.families import known_families
from textinv.models.latent_diffusion import LatentDiffusionModel
from textinv.models.location import AUTO, Location, local_folder, locate, with_weights
from textinv.models.meaning import tokenizer_of
from textinv.models.parts import check_named, explain_pipeline
from textinv.models.placement import ROUNDS, Placement, choose_placement, loading_options, placement_for
from textinv.models.process import with_shipped
from textinv.models.quiet import UNLOADABLE, quiet
from textinv.models.revision import has_only_halves, hash_weights, revision_of
from textinv.models.text_encoder import clip_encoder, language_encoder
from textinv.native_size import native_px_of


def load_base_model(
    name: str,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    aliases: Mapping[str, str] | None = None,
) -> BaseModel:
    """Load a base model, frozen, onto a device.

    Raises:
        BaseModelError: there is no such base model, or it cannot be loaded.
    """
    location = locate(name, revision, aliases)
    placement = placement_for(location.stated.weights, choose_placement(device, dtype))
    family = _family_of(name, location)
    location = with_weights(location, family.parts())
    found = _revision_of(name, family, location, revision)
    components = _load_pipeline(name, family, location, placement).components
    components["scheduler"].register_to_config(**_changed_process(name, location))
    clip = load_clip(location.folder / "clip", components["tokenizer"], placement.device)
    model = family(name, found, location.read_json("model_index.json"), components, clip, placement)
    model.folder, model.clip_skip = location.folder, location.stated.clip_skip
    if model.clip_skip > model.max_clip_skip:
        raise BaseModelError(
            f"the base model {name!r} is named with clip_skip={model.clip_skip}, but its text encoder takes 1 to "
            f"{model.max_clip_skip}: write one of these"
        )
    said = model.draws.overridden(name, location.read_json(FILE), FILE)
    said = said.overridden(name, location.stated.drawing, "what is written behind the name")
    model.drawing = with_shipped(said, type(components["scheduler"]).__name__)
    return model


def base_revision(name: str, *, revision: str | None = None, aliases: Mapping[str, str] | None = None) -> str:
    """Look up a base model's revision: the hub's commit, or the hash of a folder's or file's weights and meaning.

    Raises:
        BaseModelError: there is no such base model, or it has another revision than `revision`.
    """
    location = locate(name, revision, aliases)
    return _revision_of(name, _family_of(name, location), location, revision)


def revisions_of(name: str, *, aliases: Mapping[str, str] | None = None) -> tuple[str, str]:
    """A base model's revision as stores of format 1 have it, and as it is now.

    Raises:
        BaseModelError: there is no such base model.
    """
    location = locate(name, None, aliases)
    if location.commit is not None:
        return location.commit, location.commit
    parts = _family_of(name, location).parts()
    weights = hash_weights(location.checkpoint or location.folder, parts)
    # Whatever its alias says by now: there, every base model was read at its own layer.
    return weights, revision_of(location.folder, parts, location.checkpoint, _changed_process(name, location))


def native_size_px(name: str, *, revision: str | None = None, aliases: Mapping[str, str] | None = None) -> int:
    """Look up the side of the pictures that a base model draws natively.

    Raises:
        BaseModelError: there is no such base model.
    """
    location = locate(name, revision, aliases)
    return _native_size_px(name, _family_of(name, location), location)


GUESS_FILE = "guess.safetensors"
"""What a guess is called that lies in a base model's folder: a network that predicts a concept's first rows."""


def guess_file_of(name: str, *, aliases: Mapping[str, str] | None = None) -> str:
    """Path of the guess in a base model's folder; empty where none does, or the folder is not on this machine."""
    folder = local_folder(name, aliases)
    return str(folder / GUESS_FILE) if folder is not None and (folder / GUESS_FILE).is_file() else ""


class Found(NamedTuple):
    """What can be seen of a base model without loading it."""

    revision: str
    native_px: int
    has_clip: bool
    row_widths: Mapping[str, int]
    """By text encoder; empty where their files do not say."""
    takes_sizes: bool
    learns_shapes: bool
    recipe: Mapping[str, Any]
    """What was published for it: a recipe's fields, and their `source`."""
    file_keys: Mapping[str, Sequence[str]]
    """Keys of its text encoders' rows in other programs' files; empty where these are files of one or two CLIPs."""
    learns: Sequence[str]
    """The text encoders that learn unless a manifest says otherwise; empty: all."""
    compared: Sequence[str]
    """Those whose words the context term compares; empty: all."""
    whole: Sequence[str]
    """Those of which only one vector of the whole text is heard."""
    note: str
    """What is worth knowing of learning on it."""
    guess_file: str
    """Path of the guess that lies in its folder; empty where none does."""


def look_up(name: str, *, revision: str | None = None, aliases: Mapping[str, str] | None = None) -> Found:
    """Look up a base model.

    Raises:
        BaseModelError: there is no such base model, or it has another revision than `revision`.
    """
    location = locate(name, revision, aliases)
    family = _family_of(name, location)
    native_px = _native_size_px(name, family, location)
    return Found(
        revision=_revision_of(name, family, location, revision),
        native_px=native_px,
        has_clip=has_clip(location.folder / "clip"),
        row_widths=_row_widths(family, location),
        takes_sizes=family.takes_sizes,
        learns_shapes=family.shapes_at(native_px),
        recipe=family.recipe_at(native_px),
        guess_file=str(guess) if (guess := location.folder / GUESS_FILE).is_file() else "",
        **_of_family(family),
    )


def load_words(
    name: str, encoders: Collection[str], text: str, *, aliases: Mapping[str, str] | None = None
) -> dict[str, Tensor]:
    """The rows (n, D) of a text's n tokens by text encoder, float32 on the CPU; nothing else of the base is loaded.

    Raises:
        BaseModelError: there is no such base model, or its text encoders cannot be loaded alone.
    """
    location = locate(name, None, aliases)
    family = _family_of(name, location)
    if location.checkpoint is not None:
        raise BaseModelError(
            f"the base model {name!r} is a single file, from which text encoders cannot be loaded alone: convert it "
            "to a diffusers folder"
        )
    location = with_weights(location, family.parts())
    return {encoder: _rows_of_words(name, family, location, encoder, text) for encoder in encoders}


def _rows_of_words(
    name: str, family: type[LatentDiffusionModel], location: Location, encoder: str, text: str
) -> Tensor:
    import transformers  # slow to import

    part = family.text_encoder_folders[encoder]
    classes = location.read_json("model_index.json")
    try:
        with quiet():
            network, tokenizer = (
                getattr(transformers, classes[each][1]).from_pretrained(location.folder / each, local_files_only=True)
                for each in (part, tokenizer_of(part))
            )
    except UNLOADABLE as error:
        raise BaseModelError(
            f"{encoder} of the base model {name!r} cannot be loaded alone: {in_a_line(error)}"
        ) from error
    is_language = encoder in family.languages
    wrapped = (
        language_encoder(encoder, network, tokenizer, 0) if is_language else clip_encoder(encoder, network, tokenizer)
    )
    return wrapped.embedding.weight.detach()[wrapped.word_ids(text)].float()


def facts_of_family(name: str) -> dict[str, Any]:
    """What of `look_up` is the same for all base models of a family."""
    return next((_of_family(family) for family in known_families() if family.family == name), {})


def _of_family(family: type[LatentDiffusionModel]) -> dict[str, Any]:
    return {each: getattr(family, each) for each in ("file_keys", "learns", "compared", "whole", "note")}


def readers_of(encoders: Collection[str], format: str) -> str | None:
    """Which programs read an exported file of these text encoders, as their family says; None for those of CLIPs."""
    named = set(encoders)
    families = [family for family in known_families() if family.readers and named <= set(family.text_encoder_folders)]
    closest = min(families, key=lambda family: len(family.text_encoder_folders), default=None)
    return None if closest is None else closest.readers.get(format)


def file_keys_of(encoders: Collection[str] | None = None) -> dict[str, tuple[str, ...]]:
    """Keys of rows in other programs' files: of these text encoders, or of all that any family has; none for those of
    Stable Diffusion."""
    known = {name: tuple(keys) for family in known_families() for name, keys in family.file_keys.items()}
    return {name: keys for name, keys in known.items() if encoders is None or name in encoders}


def _row_widths(family: type[LatentDiffusionModel], location: Location) -> dict[str, int]:
    parts = family.text_encoder_folders
    configs = {name: location.read_json(f"{part}/config.json") for name, part in parts.items()}
    widths = {name: int(one.get("hidden_size") or one.get("d_model") or 0) for name, one in configs.items()}
    return widths if all(widths.values()) else {}


def _native_size_px(name: str, family: type[LatentDiffusionModel], location: Location) -> int:
    configs = [location.read_json(f"{part}/config.json") for part in (family.network_name, family.vae_name)]
    side = native_px_of(*configs)
    if side is None:
        raise BaseModelError(
            f"the base model {name!r} does not say its size: {location.folder} needs "
            f"{family.network_name}/config.json with sample_size "
            f"and {family.vae_name}/config.json with block_out_channels"
        )
    return side


def _changed_process(name: str, location: Location) -> dict[str, Any]:
    """What a single file's markers, and whoever named the base model, say of its noise scheduler's config."""
    marked = location.markers.config
    stated = location.stated.prediction_type
    if stated is None:
        return marked
    if marked.get("prediction_type", stated) != stated:
        raise BaseModelError(
            f"the base model {name!r} is named with prediction_type={stated}, but its file is marked as "
            f"{marked['prediction_type']}: leave prediction_type out"
        )
    return {**marked, "prediction_type": stated}


def _dtypes(family: type[LatentDiffusionModel], placement: Placement) -> Any:
    """What weights are loaded in: float16 would round those of a language model, and some to infinity."""
    whole = placement.without_half().dtype
    if whole == placement.dtype or not family.languages:
        return placement.dtype
    return {"default": placement.dtype, **{family.text_encoder_folders[name]: whole for name in family.languages}}


def _load_pipeline(name: str, family: type[LatentDiffusionModel], location: Location, placement: Placement) -> Any:
    import diffusers  # slow to import, and what only looks at files needs it not

    pipeline = getattr(diffusers, family.pipeline)
    options = {"dtype": _dtypes(family, placement), "local_files_only": True, **family.load_options}
    parts = family.text_encoder_folders.values()
    weights = location.stated.weights
    if weights in ROUNDS and location.checkpoint is not None:
        raise BaseModelError(
            f"the base model {name!r} is a single file, but weights can be rounded to {weights} only while a "
            "diffusers folder is loaded: convert it to one, or leave `weights` out"
        )
    rounding = loading_options(name, weights, placement, family.network_name, parts)
    try:
        with quiet():
            if location.checkpoint is None:
                variant = "fp16" if has_only_halves(location.folder, family.parts()) else None
                return pipeline.from_pretrained(location.folder, variant=variant, **options, **rounding)
            return pipeline.from_single_file(str(location.checkpoint), config=str(location.folder), **options)
    except UNLOADABLE as error:
        raise BaseModelError(
            f"the base model {name!r} cannot be loaded: {in_a_line(error)}; get its files again"
        ) from error


def _family_of(name: str, location: Location) -> type[LatentDiffusionModel]:
    index, text_config = location.read_json("model_index.json"), location.read_json("text_encoder/config.json")
    families = known_families()
    for family in families:
        if family.fits(index, text_config):
            check_named(name, index, family.parts().all)
            return family
    raise BaseModelError(
        f"the base model {name!r} {explain_pipeline(index, text_config)}; known families are "
        f"{', '.join(family.family for family in families)}"
    )


def _revision_of(name: str, family: type[LatentDiffusionModel], location: Location, asked: str | None) -> str:
    files, skip, parts = location.checkpoint or location.folder, location.stated.clip_skip, family.parts()
    weights = None if location.stated.weights == AUTO else location.stated.weights
    found = location.hub_revision or revision_of(
        location.folder, parts, location.checkpoint, _changed_process(name, location), skip, weights
    )
    is_plain = skip == 1 and weights is None
    if (
        location.commit is None
        and asked not in (None, found)
        and not (is_plain and asked == hash_weights(files, parts))
    ):
        raise BaseModelError(
            f"the base model {name!r} has revision {found}, but {asked} was asked for; get those weights, "
            "or leave the revision out"
        )
    return found
