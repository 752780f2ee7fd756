"""The demo base and tiny bases of every family, loaded once."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.models.tiny_bases import make_base
from textinv.models import BaseModel, load_base_model

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny base by family; SD2 predicts velocity, the others noise."""
    root = tmp_path_factory.mktemp("bases")

    def folder(family: str) -> Path:
        path = root / family
        if not (path / "model_index.json").exists():
            make_base(family, path, "v_prediction" if family == "sd2" else "epsilon")
        return path

    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Callable[[str], Path]) -> Callable[[str], BaseModel]:
    """Tiny base by family, loaded."""
    loaded: dict[str, BaseModel] = {}

    def base(family: str) -> BaseModel:
        if family not in loaded:
            loaded[family] = load_base_model(str(tiny_folder(family)), device="cpu", dtype="float32")
        return loaded[family]

    return base
