"""Snapshots of model-hub repositories: only the parts that are needed, at one commit.

Owns which files are fetched. What is in the hub's cache already is used without the network.
"""

from pathlib import Path

from huggingface_hub import snapshot_download

from textinv.errors import BaseModelError
from textinv.models.revision import parts_without_weights

_SMALL = ["model_index.json", "*/*.json", "*/*.txt"]
_NOT_NEEDED = [
    "safety_checker/*",
    "feature_extractor/*",
    "image_encoder/*",
    "*.fp16.*",
    "*.non_ema.*",
    "*flax*",
    "*onnx*",
]


def fetch_snapshot(repository: str, revision: str | None, *, weights: bool) -> Path:
    """Fetch a repository's small files, and its weights when they are asked for; the folder is named by its commit.

    Raises:
        BaseModelError: the repository, the revision or the hub cannot be reached.
    """
    if not weights:
        return _download(repository, revision, _SMALL)
    folder = _download(repository, revision, [*_SMALL, "*/*.safetensors"])
    missing = parts_without_weights(folder)
    if missing:
        return _download(repository, folder.name, [*_SMALL, *[f"{part}/*.bin" for part in missing]])
    return folder


def _download(repository: str, revision: str | None, patterns: list[str]) -> Path:
    try:
        return Path(
            snapshot_download(repository, revision=revision, allow_patterns=patterns, ignore_patterns=_NOT_NEEDED)
        )
    except Exception as error:  # the hub's client lets its HTTP library's errors through, whichever that is
        at = f" at revision {revision}" if revision else ""
        raise BaseModelError(
            f"the base model {repository!r}{at} is no file or folder here, and the model hub did not give it: {error}; "
            "correct the name or the revision, log in to the hub, or name a folder"
        ) from error
