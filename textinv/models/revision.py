"""The revision of a base model on disk: a hash of its weights and of what its configs say that changes what rows mean.

Owns which files of weights count, those of the components that make pictures from text, and hashing them: remembered by
path, size and time of change. A tokenizer or a config that another release of a library saved anew leaves the revision
as it is; a corrected prediction type or scaling factor makes it another.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from textinv.errors import BaseModelError
from textinv.models.meaning import Parts, meaning_of

_BLOCK_BYTES = 1 << 22


def revision_of(
    folder: Path,
    parts: Parts,
    checkpoint: Path | None = None,
    changed_noise: Mapping[str, object] | None = None,
    clip_skip: int = 1,
    weights: str | None = None,
) -> str:
    """The revision of a diffusers folder, or of a checkpoint whose configs lie in the folder: 64 hex digits.

    `changed_noise` is what holds instead of the noise scheduler's config; `clip_skip`: which layer is read;
    `weights`: how they are kept, where that is said.

    Raises:
        BaseModelError: there are no weights, or a config cannot be read.
    """
    found = meaning_of(folder, parts)
    noise = {name: value for name, value in (changed_noise or {}).items() if name in found["noise"]}
    skipped = {"clip_skip": clip_skip} if clip_skip > 1 else {}
    rounded = {"weights": weights} if weights else {}
    meaning = json.dumps({**found, **skipped, **rounded, "noise": {**found["noise"], **noise}}, sort_keys=True)
    return hashlib.sha256(f"{hash_weights(checkpoint or folder, parts)}\n{meaning}".encode()).hexdigest()


def hash_weights(path: Path, parts: Parts) -> str:
    """Hash a checkpoint, or all weights of a diffusers folder, to 64 hex digits; in stores of format 1, the revision.

    Raises:
        BaseModelError: the folder holds no weights.
    """
    if path.is_file():
        return _hash_file(path)
    files = weight_files(path, parts)
    if not files:
        raise BaseModelError(f"{path} holds no weights in {', '.join(parts.all)}; get the model's files again")
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(path).as_posix()} {_hash_file(file)}\n".encode())
    return total.hexdigest()


def weight_files(folder: Path, parts: Parts) -> list[Path]:
    """The files that are loaded from a diffusers folder: safetensors of each part, else its pickles, else halves."""
    files: list[Path] = []
    for part in parts.all:
        plain = [file for file in sorted((folder / part).glob("*")) if _is_plain(file)]
        safe = [file for file in plain if file.suffix == ".safetensors"]
        files += safe or plain or _halves(folder / part)
    return files


def has_only_halves(folder: Path, parts: Parts) -> bool:
    """Whether a diffusers folder has weights as `*.fp16.safetensors` where it has no others."""
    return any(".fp16" in file.name for file in weight_files(folder, parts))


def parts_without_weights(folder: Path, parts: Parts) -> list[str]:
    """The parts of a diffusers folder that have a config but no safetensors."""
    there = [part for part in parts.all if (folder / part / "config.json").is_file()]
    return [part for part in there if not any((folder / part).glob("*.safetensors"))]


def _halves(part: Path) -> list[Path]:
    return sorted(part.glob("*.fp16*.safetensors"))


def _is_plain(file: Path) -> bool:
    # "model-00001-of-00002.safetensors" is a shard; "model.fp16.safetensors" a variant that is not loaded.
    return file.suffix in (".safetensors", ".bin") and "." not in file.stem


def _hash_file(file: Path) -> str:
    state = file.stat()
    key = [str(file.resolve()), state.st_size, state.st_mtime_ns]
    remembered = _memory_folder() / hashlib.sha256(json.dumps(key).encode()).hexdigest()
    try:
        known = remembered.read_text()
        if len(known) == hashlib.sha256().digest_size * 2:
            return known
    except OSError:
        pass  # not remembered yet
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    _remember(remembered, digest.hexdigest())
    return digest.hexdigest()


def _memory_folder() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(caches) / "textinv" / "weight-hashes"


def _remember(path: Path, digest: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_text(digest)
        fresh.replace(path)
    except OSError:
        return  # a read-only home only costs hashing again
