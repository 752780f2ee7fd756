"""Screening pictures with the safety checker that a base model ships with.

Owns loading it and asking it. What becomes of a flagged picture is the engine's and the service's business. The checker
and its thresholds are the base model's own (diffusers' `StableDiffusionSafetyChecker`).

Shapes: B pictures, C channels, H rows, W columns.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from numpy.typing import NDArray

from textinv.errors import BaseModelError, in_a_line
from textinv.models.location import Location, locate
from textinv.models.quiet import quiet

_CHECKER, _PROCESSOR = "safety_checker", "feature_extractor"
# Older repositories have pickles only.
_WEIGHTS = ("*.safetensors", "*.bin")
_VARIANTS = ["*.fp16.*", "*.non_ema.*"]


class SafetyChecker:
    """A frozen safety checker and the processor that shows it pictures."""

    def __init__(self, network: Any, processor: Any, device: torch.device) -> None:
        self._network = network.to(device).eval().requires_grad_(False)
        self._processor = processor
        self._device = device

    @torch.inference_mode()
    def flag(self, pictures: Sequence[NDArray[np.uint8]]) -> list[bool]:
        """Say for each picture (H, W, 3) whether it is unsafe."""
        shown_BCHW = self._processor(list(pictures), return_tensors="pt").pixel_values
        _, flags = self._network(clip_input=shown_BCHW.to(self._device), images=list(pictures))
        return [bool(flag) for flag in flags]


def load_safety_checker(
    name: str, *, device: torch.device, revision: str | None = None, aliases: Mapping[str, str] | None = None
) -> SafetyChecker | None:
    """Load the safety checker of a base model; None when it has none, as a single-file checkpoint never has.

    `revision` is the loaded base model's, so that both are of one commit of the hub.

    Raises:
        BaseModelError: the base model says that it has one, and it cannot be loaded.
    """
    location = locate(name, revision, aliases)
    _, kind = location.read_json("model_index.json").get(_CHECKER) or (None, None)
    if kind is None or location.checkpoint is not None:
        return None
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPImageProcessor

    try:
        folder = _with_weights(location, (aliases or {}).get(name, name))
        with quiet():
            network = StableDiffusionSafetyChecker.from_pretrained(folder / _CHECKER, local_files_only=True)
            processor = CLIPImageProcessor.from_pretrained(folder / _PROCESSOR, local_files_only=True)
    except Exception as error:  # the hub's client lets its HTTP library's errors through, whichever that is
        raise BaseModelError(
            f"the base model {name!r} says that it has a safety checker, which cannot be loaded: {in_a_line(error)}; "
            "get its files again, or turn `safety_checker` off"
        ) from error
    return SafetyChecker(network, processor, device)


def _with_weights(location: Location, repository: str) -> Path:
    """The folder with the checker's files; those of a hub repository were not needed until now."""
    folder = location.folder
    for weights in _WEIGHTS:
        if location.commit is None or _is_whole(folder):
            break
        wanted = [f"{_CHECKER}/*.json", f"{_CHECKER}/{weights}", f"{_PROCESSOR}/*.json"]
        folder = Path(
            snapshot_download(repository, revision=location.commit, allow_patterns=wanted, ignore_patterns=_VARIANTS)
        )
    return folder


def _is_whole(folder: Path) -> bool:
    weights = [file for pattern in _WEIGHTS for file in (folder / _CHECKER).glob(pattern)]
    plain = [file for file in weights if not any(file.match(variant) for variant in _VARIANTS)]
    return bool(plain) and any((folder / _PROCESSOR).glob("*.json"))
