"""Where a base model lies: a folder, a single file, or a repository of the model hub.

Owns resolving what a person wrote, reading small files of it without loading weights, and which files of a repository
are fetched (what is in the hub's cache already is used without the network). Does not know families.

A single file holds weights only: Stable Diffusion 1, 2 or XL in the layout of their original repositories. The configs
and the tokenizer come from a folder beside it with the file's name without its suffix (`model.safetensors` and
`model/model_index.json`), or from the one that is named (`model.safetensors?config=FOLDER`), else from the hub
repository that diffusers knows for the checkpoint's kind.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from huggingface_hub import snapshot_download

from textinv.errors import BaseModelError
from textinv.models.meaning import Parts
from textinv.models.parts import explain_folder
from textinv.models.process import PREDICTIONS
from textinv.models.revision import parts_without_weights
from textinv.models.single_file import Markers, read_markers
from textinv.settings import OWN_BASE_MODELS

CHECKPOINT_SUFFIXES = (".safetensors", ".ckpt")
AUTO = "auto"
WEIGHTS = (AUTO, "bfloat16", "int8", "nf4")
"""In how many bits weights may be kept."""
_OTHERWISE = re.compile(rf"^(skip\d+-)?(({'|'.join(WEIGHTS)})-)?")
"""Before the commit in the revision of a repository of which an earlier layer is read, or whose weights are rounded."""
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")
_SMALL = ["model_index.json", "evaluation.json", "*/*.json", "*/*.txt", "*/*.model"]
_NOT_NEEDED = [
    "safety_checker/*",
    "feature_extractor/*",
    "image_encoder/*",
    "*.fp16.*",
    "*.non_ema.*",
    "*flax*",
    "*onnx*",
]


@dataclass(frozen=True)
class Stated:
    """What a person says of a base model behind its name, `model.safetensors?prediction_type=v_prediction`."""

    prediction_type: str | None = None
    """`epsilon`, `v_prediction` or `sample`, for a file that does not say it."""
    config: str | None = None
    """Folder with the configs and the tokenizer of a single file."""
    clip_skip: int = 1
    """Which of the text encoder's layers is read, 1 the family's own, 2 the one before it; of any base model."""
    weights: str = AUTO
    """In how many bits the network and the text encoders are kept."""
    guidance_scale: str | None = None
    """How it draws where a request does not say; likewise the next two."""
    num_inference_steps: str | None = None
    noise_scheduler: str | None = None

    @property
    def drawing(self) -> dict[str, str]:
        """What is said of drawing."""
        said = {each: getattr(self, each) for each in ("guidance_scale", "num_inference_steps", "noise_scheduler")}
        return {each: value for each, value in said.items() if value is not None}


@dataclass(frozen=True)
class Location:
    """A base model on this machine's disk: its folder in diffusers' layout, and the checkpoint when it is one file."""

    folder: Path
    checkpoint: Path | None = None
    commit: str | None = None
    """Of the hub, when the folder is a snapshot of a repository."""
    repository: str | None = None
    """The hub's name of it, then."""
    stated: Stated = field(default_factory=Stated)
    markers: Markers = field(default_factory=Markers)
    """Of the checkpoint."""

    @property
    def hub_revision(self) -> str | None:
        """Its revision, where the hub has one: another than the commit where an earlier layer is read, or where the
        weights are kept otherwise."""
        if self.commit is None:
            return None
        skip = f"skip{self.stated.clip_skip}-" if self.stated.clip_skip > 1 else ""
        return skip + (f"{self.stated.weights}-" if self.stated.weights != AUTO else "") + self.commit

    def read_json(self, path: str) -> dict[str, Any]:
        """Read a JSON file of the folder; empty when there is none.

        Raises:
            BaseModelError: it is not JSON.
        """
        file = self.folder / path
        if not file.is_file():
            return {}
        try:
            found: dict[str, Any] = json.loads(file.read_text())
        except ValueError as error:
            raise BaseModelError(f"{file} is not JSON: {error}; get the file again") from error
        return found


def locate(name: str, revision: str | None, aliases: Mapping[str, str] | None) -> Location:
    """Find a base model; of a hub repository only the small files are fetched, for its weights see `with_weights`.

    `aliases` are those of the settings; None: what these are where nothing was said.

    Raises:
        BaseModelError: there is nothing of that name.
    """
    target, stated = _split(name, _behind(name, OWN_BASE_MODELS if aliases is None else aliases))
    path = Path(target).expanduser()
    if (stated.prediction_type or stated.config) and path.suffix not in CHECKPOINT_SUFFIXES:
        raise BaseModelError(
            f"the base model {name!r} is not a single file, and prediction_type and config can be given for single "
            "files only: correct scheduler/scheduler_config.json in its folder"
        )
    if path.is_dir():
        return Location(_checked_folder(path), stated=stated)
    if path.is_file():
        if path.suffix not in CHECKPOINT_SUFFIXES:
            raise BaseModelError(f"{path} is not a checkpoint; those end in {' or '.join(CHECKPOINT_SUFFIXES)}")
        markers = read_markers(path)
        config = find_config(path) if stated.config is None else _checked_folder(Path(stated.config).expanduser())
        return Location(config, checkpoint=path, stated=stated, markers=markers)
    if path.suffix in CHECKPOINT_SUFFIXES or not _HUB_ID.fullmatch(target):
        raise BaseModelError(
            f"the base model {name!r} is neither a file nor a folder: {path.absolute()} does not exist"
        )
    folder = fetch_snapshot(target, _OTHERWISE.sub("", revision or "") or None)
    return Location(_checked_folder(folder), commit=folder.name, repository=target, stated=stated)


def local_folder(name: str, aliases: Mapping[str, str] | None) -> Path | None:
    """The folder of a base model that is one on this machine; None for single files, the hub and what is not here."""
    target, _ = _split(name, _behind(name, OWN_BASE_MODELS if aliases is None else aliases))
    path = Path(target).expanduser()
    return path if path.is_dir() else None


def with_weights(location: Location, parts: Parts) -> Location:
    """The same base model, with the weights of its parts on this machine's disk.

    Raises:
        BaseModelError: the hub cannot be reached.
    """
    if location.repository is None or location.commit is None:
        return location
    wanted = [f"{part}/*.safetensors" for part in parts.all]
    folder = _download(location.repository, location.commit, [*_SMALL, *wanted])
    if missing := parts_without_weights(folder, parts):
        _download(location.repository, location.commit, [*_SMALL, *[f"{part}/*.bin" for part in missing]])
    return location


def _behind(name: str, aliases: Mapping[str, str]) -> str:
    """What a name stands for; what is said behind an alias is said beside what the alias says."""
    alias, _, said = name.partition("?")
    if name in aliases or alias not in aliases:
        return aliases.get(name, name)
    where = aliases[alias]
    return f"{where}{'&' if '?' in where else '?'}{said}" if said else where


def _split(name: str, target: str) -> tuple[str, Stated]:
    """Split `WHERE?KEY=VALUE&KEY=VALUE`."""
    where, _, said = target.partition("?")
    options = dict(parse_qsl(said, keep_blank_values=True))
    known = [each.name for each in fields(Stated)]
    if unknown := sorted(set(options) - set(known)):
        raise BaseModelError(
            f"the base model {name!r} is named with the unknown option {unknown[0]!r}; known are {', '.join(known)}"
        )
    prediction = options.get("prediction_type", PREDICTIONS[0])
    if prediction not in PREDICTIONS:
        raise BaseModelError(
            f"the base model {name!r} is named with prediction_type={prediction}; write {' or '.join(PREDICTIONS)}"
        )
    if options.get("weights", AUTO) not in WEIGHTS:
        raise BaseModelError(
            f"the base model {name!r} is named with weights={options['weights']}; write {', '.join(WEIGHTS[:-1])} or "
            f"{WEIGHTS[-1]}"
        )
    skip = options.pop("clip_skip", "1")
    if not re.fullmatch(r"[1-9]\d?", skip):
        raise BaseModelError(
            f"the base model {name!r} is named with clip_skip={skip}; write 1 for its text encoder's own layer, 2 for "
            "the one before it"
        )
    return where, Stated(**options, clip_skip=int(skip))


def _checked_folder(folder: Path) -> Path:
    if not (folder / "model_index.json").is_file():
        raise BaseModelError(f"{folder} {explain_folder(folder)}")
    return folder


def fetch_snapshot(repository: str, revision: str | None) -> Path:
    """Fetch a repository's small files; the folder is named by its commit.

    Raises:
        BaseModelError: the repository, the revision or the hub cannot be reached.
    """
    return _download(repository, revision, _SMALL)


def _download(repository: str, revision: str | None, patterns: list[str]) -> Path:
    try:
        return Path(
            snapshot_download(repository, revision=revision, allow_patterns=patterns, ignore_patterns=_NOT_NEEDED)
        )
    except Exception as error:  # the hub's client lets its HTTP library's errors through, whichever that is
        at = f" at revision {revision}" if revision else ""
        raise BaseModelError(
            f"the base model {repository!r}{at} is not a file or folder here, and the model hub did not provide it: "
            f"{error}; "
            "correct the name or the revision, log in to the hub, or name a folder"
        ) from error


def find_config(checkpoint: Path) -> Path:
    """Find the folder of configs that goes with a checkpoint.

    Raises:
        BaseModelError: there is none.
    """
    beside = checkpoint.with_suffix("")
    if (beside / "model_index.json").is_file():
        return beside
    from diffusers.loaders.single_file_utils import fetch_diffusers_config, load_single_file_checkpoint

    try:
        repository = fetch_diffusers_config(load_single_file_checkpoint(str(checkpoint)))[
            "pretrained_model_name_or_path"
        ]
        return fetch_snapshot(repository, None)
    except (BaseModelError, OSError, ValueError, RuntimeError) as error:
        raise BaseModelError(
            f"{checkpoint} needs the configs of its kind: put a diffusers folder without weights at {beside} ({error})"
        ) from error
