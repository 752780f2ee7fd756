"""The kind of judge that a base model's folder may hold, in `judge/`: a small convolutional classifier.

Owns its network, which is told by `config.json` what it is asked and what it may answer, and loading it. Does not know
any world of pictures, nor how one is trained.

Legend: B pictures, C channels, H rows, W columns, K answers to one question.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel as Checked
from pydantic import ConfigDict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from textinv.errors import BaseModelError, in_a_line
from textinv.evaluation.judge import Answers, Pixels
from textinv.evaluation.prompts import Kind

CONFIG, WEIGHTS = "config.json", "model.safetensors"


class ClassifierConfig(Checked):
    """What a classifier is and what it is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: Literal["residual-stages"] = "residual-stages"
    widths: tuple[int, ...]
    """Channels of each stage."""
    size_px: int
    questions: dict[str, tuple[str, ...]]
    about: dict[Kind, tuple[str, ...]]
    says_nothing: tuple[tuple[str, str], ...] = ()


class ResidualStages(nn.Module):
    """Residual stages, each halving the picture, and one linear head per question."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for before, width in zip((3, *config.widths), config.widths, strict=False):
            stages += [_normed(before, width, stride=2), _Residual(width)]
        self.stages = nn.Sequential(*stages)
        features = 2 * config.widths[-1]
        self.heads = nn.ModuleDict({name: nn.Linear(features, len(said)) for name, said in config.questions.items()})

    def forward(self, pixels_BCHW: Tensor) -> dict[str, Tensor]:
        """Logits `(B, K)` per question."""
        seen_BCHW = self.stages(pixels_BCHW)
        pooled = torch.cat([seen_BCHW.mean((2, 3)), seen_BCHW.amax((2, 3))], 1)
        return {name: head(pooled) for name, head in self.heads.items()}


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inside = _normed(width, width, stride=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + torch.as_tensor(self.inside(x_BCHW))


def _normed(before: int, width: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


@dataclass(frozen=True)
class Classifier:
    """A trained classifier, which is a `Judge`."""

    net: ResidualStages
    config: ClassifierConfig

    @property
    def size_px(self) -> int:
        return self.config.size_px

    @property
    def questions(self) -> Mapping[str, Sequence[str]]:
        return self.config.questions

    @property
    def about(self) -> Mapping[Kind, Sequence[str]]:
        return self.config.about

    @property
    def says_nothing(self) -> Sequence[tuple[str, str]]:
        return self.config.says_nothing

    @torch.no_grad()
    def look(self, pixels_BHWC: Pixels) -> list[Answers]:
        """Look at pictures of its size."""
        pixels_BCHW = torch.from_numpy(np.ascontiguousarray(pixels_BHWC)).permute(0, 3, 1, 2).float().div(127.5).sub(1)
        said = {name: logits_BK.softmax(-1).tolist() for name, logits_BK in self.net(pixels_BCHW).items()}
        return [
            Answers({name: dict(zip(self.questions[name], said[name][place], strict=True)) for name in said})
            for place in range(len(pixels_BHWC))
        ]


def has_classifier(folder: Path) -> bool:
    """Whether there is a classifier in a folder, as far as can be seen without loading it."""
    return (folder / CONFIG).is_file()


@cache
def load_classifier(folder: Path) -> Classifier:
    """Load a classifier from its folder, in float32 on the CPU.

    Raises:
        BaseModelError: the folder holds none.
    """
    try:
        config = ClassifierConfig.model_validate_json((folder / CONFIG).read_bytes())
        net = ResidualStages(config)
        net.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / WEIGHTS).items()})
    except Exception as error:  # whatever the files' readers let through
        raise BaseModelError(
            f"the judge in {folder} cannot be loaded: {in_a_line(error)}; correct or remove it"
        ) from error
    return Classifier(net.eval().requires_grad_(False), config)


def save_classifier(net: ResidualStages, config: ClassifierConfig, folder: Path) -> None:
    """Write a classifier in fp16."""
    folder.mkdir(parents=True, exist_ok=True)
    halved = {name: tensor.half().contiguous() for name, tensor in net.state_dict().items()}
    save_file(halved, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(config.model_dump(mode="json"), indent=1) + "\n")
