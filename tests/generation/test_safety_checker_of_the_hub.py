"""The safety checker of a base model of the hub: from the cache without the network, or fetched when it is needed."""

import shutil
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch

from tests.generation.hub_of_this_machine import COMMIT, REPOSITORY, serving
from tests.generation.screened_bases import FLAGS_ALL, FLAGS_NONE, make_screened_base
from textinv.errors import BaseModelError
from textinv.generation import SafetyChecker, load_safety_checker
from textinv.models import load_base_model

CPU = torch.device("cpu")
CHECKER = "safety_checker/model.safetensors"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub; where its only snapshot would be."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub" / "models--acme--screened" / "snapshots" / COMMIT


def lay_out(snapshot: Path, base: Path) -> None:
    """Lay a base out as the hub's client caches it."""
    shutil.copytree(base, snapshot)
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text(COMMIT)


def flags(checker: SafetyChecker | None) -> bool:
    """Whether a checker flags a picture."""
    assert checker is not None
    return checker.flag([np.full((32, 32, 3), 90, np.uint8)])[0]


@pytest.mark.parametrize("threshold", [FLAGS_ALL, FLAGS_NONE])
def test_what_lies_in_the_hubs_cache_is_enough(cache: Path, tmp_path: Path, threshold: float) -> None:
    lay_out(cache, make_screened_base(tmp_path / "base", threshold))
    aliases = {"ours": REPOSITORY}
    assert flags(load_safety_checker(REPOSITORY, device=CPU)) == (threshold == FLAGS_ALL)
    assert flags(load_safety_checker("ours", device=CPU, revision=COMMIT, aliases=aliases)) == (threshold == FLAGS_ALL)


def test_a_cache_without_the_checker_is_refused_while_the_hub_is_out_of_reach(cache: Path, tmp_path: Path) -> None:
    lay_out(cache, make_screened_base(tmp_path / "base", FLAGS_ALL))
    (cache / CHECKER).rename(cache / "safety_checker" / "model.fp16.safetensors")
    with pytest.raises(BaseModelError, match="says that it has a safety checker, which cannot be loaded"):
        load_safety_checker(REPOSITORY, device=CPU)


@pytest.mark.parametrize("pickled", [False, True])
def test_the_checker_is_fetched_only_when_it_is_asked_for(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pickled: bool
) -> None:
    base = make_screened_base(tmp_path / "base", FLAGS_ALL)
    (base / "safety_checker" / "model.fp16.safetensors").write_bytes(b"not to be fetched")
    weights = _pickle(base) if pickled else CHECKER
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with serving(base) as (url, fetched):
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
        files = url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        model = load_base_model(REPOSITORY, device="cpu", dtype="float32")
        assert model.revision == COMMIT
        assert not any(file.startswith(("safety_checker", "feature_extractor")) for file in fetched)
        fetched.clear()
        assert flags(load_safety_checker(REPOSITORY, device=CPU, revision=model.revision))
        assert sorted(fetched) == sorted(
            ["feature_extractor/preprocessor_config.json", "safety_checker/config.json", weights]
        )
    # From now on without the hub.
    assert flags(load_safety_checker(REPOSITORY, device=CPU, revision=model.revision))


def _pickle(base: Path) -> str:
    """Turn the checker's weights into what older repositories have."""
    from safetensors.torch import load_file

    torch.save(load_file(base / CHECKER), base / "safety_checker" / "pytorch_model.bin")
    (base / CHECKER).unlink()
    return "safety_checker/pytorch_model.bin"
