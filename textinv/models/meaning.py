"""What a base model's configs say that decides what a row means, by name: half of its revision, the other is weights.

Libraries write configs anew whenever they save, with other defaults, class names and files for the same tokenizer. So
values are taken by name, those that are not written are what the libraries take them to be, and a tokenizer is its
vocabulary and its merges, in whichever file. Reads small files only. Does not know families, nor what is done with the
values.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from textinv.errors import BaseModelError


class Parts(NamedTuple):
    """Which components make pictures from text; a family states them."""

    network: str
    vae: str
    text_encoders: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """In the order in which their weights are hashed."""
        return (self.network, self.vae, *self.text_encoders)


def tokenizer_of(text_encoder: str) -> str:
    """The component that turns text into what a text encoder reads: `tokenizer_2` for `text_encoder_2`."""
    return f"tokenizer{text_encoder.removeprefix('text_encoder')}" if "text_encoder" in text_encoder else "tokenizer"


# What diffusers takes where a config is silent, and this program with it.
_NOISE: Mapping[str, Any] = {
    "prediction_type": "epsilon",
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
}
_EDM: Mapping[str, Any] = {"prediction_type": "epsilon", "sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5}
_FLOW: Mapping[str, Any] = {"num_train_timesteps": 1000}
_VAE: Mapping[str, Any] = {
    "scaling_factor": 0.18215,
    "shift_factor": None,
    "latents_mean": None,
    "latents_std": None,
    "latent_channels": 4,
}
_UNET: Mapping[str, Any] = {"in_channels": 4, "out_channels": 4}


def meaning_of(folder: Path, parts: Parts) -> dict[str, Any]:
    """The named values of a folder in diffusers' layout, as plain JSON.

    Raises:
        BaseModelError: a file that should be JSON is not.
    """
    return {
        "noise": _noise(_read(folder / "scheduler" / "scheduler_config.json")),
        "unet": _named(_read(folder / "unet" / "config.json"), _UNET),
        "vae": {part: _named(config, _VAE) for part, config in _configs(folder, (parts.vae,))},
        "text": {
            part: _text(config, folder / tokenizer_of(part)) for part, config in _configs(folder, parts.text_encoders)
        },
    }


def _configs(folder: Path, parts: Iterable[str]) -> list[tuple[str, dict[str, Any]]]:
    return [(part, _read(folder / part / "config.json")) for part in parts if (folder / part / "config.json").is_file()]


def _noise(config: Mapping[str, Any]) -> dict[str, Any]:
    # Most classes are ways to sample from one and the same noise process; two kinds are other processes.
    name = str(config.get("_class_name", ""))
    if name.startswith("EDM"):
        return {"process": "edm", **_named(config, _EDM)}
    if name.startswith("FlowMatch"):
        return {"process": "flow", **_named(config, _FLOW)}
    return {"process": "diffusion", **_named(config, _NOISE)}


def _named(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(default if config.get(name) is None else config[name]) for name, default in defaults.items()}


def _text(config: Mapping[str, Any], tokenizer: Path) -> dict[str, Any]:
    """Which hidden states there are to be read, what they are computed with, how long a window is, and the words."""
    limits = (config.get("max_position_embeddings"), _read(tokenizer / "tokenizer_config.json").get("model_max_length"))
    return {
        "layers": config.get("num_hidden_layers", config.get("encoder_layers")),
        "activation": config.get("hidden_act"),
        "window": min((int(limit) for limit in limits if limit), default=None),
        "words": _words(tokenizer),
    }


def _plain(value: Any) -> Any:
    """Numbers as one kind, or 1 and 1.0 would be two."""
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _words(folder: Path) -> str | None:
    """A digest of a tokenizer's vocabulary and merges; None where it has neither."""
    whole = _read(folder / "tokenizer.json")
    model = whole.get("model") or {}
    listed = {word: number for number, word in enumerate(_lines(folder / "vocab.txt"))}
    vocabulary = model.get("vocab") or _read(folder / "vocab.json") or listed
    if not vocabulary:
        pieces = folder / "spiece.model"
        return hashlib.sha256(pieces.read_bytes()).hexdigest() if pieces.is_file() else None
    if isinstance(vocabulary, Mapping):
        added = {one["content"]: one["id"] for one in whole.get("added_tokens") or ()}
        pairs = {**vocabulary, **added, **_read(folder / "added_tokens.json")}
        vocabulary = sorted(pairs.items(), key=lambda pair: (pair[1], pair[0]))
    merges = [one if isinstance(one, str) else " ".join(one) for one in model.get("merges") or ()]
    merges = merges or [line for line in _lines(folder / "merges.txt") if line and not line.startswith("#version")]
    return hashlib.sha256(json.dumps([vocabulary, merges]).encode()).hexdigest()


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").split("\n") if file.is_file() else []


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BaseModelError(f"{file} is not JSON: {error}; get the file again") from error
    return found
