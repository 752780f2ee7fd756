"""Where one sample does not fit, activations are computed again on the way back, and the gradients stay."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.fixtures.heavy import heavy
from tests.models.kept import kept_bytes
from tests.models.tiny_bases import make_base
from tests.models.transformer_bases import SIDE, make_transformer_base
from textinv.errors import OutOfMemoryError
from textinv.models import load_base_model
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.training import ConceptPack, Work
from textinv.training.train import learn

FOX = ConceptRef("fox")
FAMILIES = ["sd1", "sd3", "sana", *heavy(["sdxl", "ldm", "pixart", "flux-dev", "flux-schnell", "z-image"])]


def base_of(family: str, folder: Path) -> BaseModel:
    make = make_transformer_base if family in SIDE else make_base
    return load_base_model(str(make(family, folder)), device="cpu", dtype="float32")


def rows_with_gradient(model: BaseModel) -> dict[str, Tensor]:
    return {name: model.vocabulary(name)[5:7].detach().clone().requires_grad_() for name in model.encoder_names}


def forward(model: BaseModel, rows: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """What is predicted, and the text that it was told."""
    side = SIDE.get(model.family, 32) if model.family != "flux" else 128
    noisy = torch.randn(2, model.latent_channels, *[side // model.latent_scale] * 2, generator=seeded())
    tokens = model.tokenize(["a <fox> on grass", "a photo of <fox>"], {FOX: range(2)})
    encoded = model.encode_text(tokens, rows)
    return model.predict(noisy, torch.tensor([300, 700]), encoded), encoded["hidden"]


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_the_same_and_less_is_kept(family: str, tmp_path: Path) -> None:
    model = base_of(family, tmp_path / "base")
    found = []
    for _ in range(2):
        rows = rows_with_gradient(model)
        (predicted, text), kept = kept_bytes(lambda rows=rows: forward(model, rows))  # type: ignore[misc]
        gradients = torch.autograd.grad(predicted.square().sum() + text.square().sum(), list(rows.values()))
        found.append((kept, predicted.detach(), gradients))
        was_news = model.checkpoint_gradients()
    (kept, predicted, gradients), (kept_less, same, equal) = found
    assert not was_news, "it is switched on once"
    assert kept_less < 0.8 * kept
    assert torch.equal(predicted, same)
    for one, other in zip(gradients, equal, strict=True):
        assert one.abs().max() > 0
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("family", ["sd1", "sana", *heavy(["pixart", "z-image"])])
def test_text_encoders_keep_less_and_drop_nothing(family: str, tmp_path: Path) -> None:
    model = base_of(family, tmp_path / "base")
    tokens = model.tokenize(["a <fox> on grass"], {FOX: range(2)})
    texts, kept = [], []
    for _ in range(2):
        rows = rows_with_gradient(model)
        encoded, bytes_ = kept_bytes(lambda rows=rows: model.encode_text(tokens, rows))  # type: ignore[misc]
        texts.append(encoded["hidden"].detach())
        kept.append(bytes_)
        model.checkpoint_gradients()
    assert kept[1] < 0.8 * kept[0]
    assert torch.equal(*texts)
    with torch.no_grad():
        assert torch.equal(model.encode_text(tokens, rows)["hidden"], texts[0])
    assert model.checkpoint_gradients(False)
    assert kept_bytes(lambda: model.encode_text(tokens, rows))[1] == kept[0], "and keep all again"


class Cramped:
    """A base model on a device with memory for `room` samples at once, for `spared` once it keeps less."""

    def __init__(self, model: BaseModel, room: int, spared: int) -> None:
        self._model, self.room, self._spared = model, room, spared
        self.tried: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, noisy_BCHW: Tensor, *rest: Any, **extras: Any) -> Tensor:
        if torch.is_grad_enabled():
            self.tried.append(len(noisy_BCHW))
            if len(noisy_BCHW) > self.room:
                raise torch.OutOfMemoryError(f"{len(noisy_BCHW)} samples do not fit")
        return self._model.predict(noisy_BCHW, *rest, **extras)

    def checkpoint_gradients(self) -> bool:
        self.room = max(self.room, self._spared)
        return self._model.checkpoint_gradients()


def test_a_sample_that_does_not_fit_otherwise_is_learned_all_the_same(
    tmp_path: Path, works: Callable[..., Work], caplog: pytest.LogCaptureFixture
) -> None:
    base = base_of("sd1", tmp_path / "base")
    work = works("fox", init="fox", resolution_px=32, max_steps=4, samples_per_step=4)
    wanted = learn(base, [work], num_slots=1).concepts["fox"].embedding.rows["text_encoder"]
    cramped = Cramped(base, room=0, spared=2)
    learned = learn(cramped, [work], num_slots=1)  # type: ignore[arg-type]
    assert torch.allclose(learned.concepts["fox"].embedding.rows["text_encoder"], wanted, rtol=1e-4, atol=1e-6)
    assert cramped.tried[:9] == [4, 2, 1, 1, 2, 1, 4, 2, 2], "and more samples once less is kept of each"
    told = [json.loads(one.message)["from_now_on"] for one in caplog.records if "no_memory_for" in one.message]
    assert told.count("activations are computed again") == 1


def test_one_that_does_not_fit_even_so_ends_its_own_concept(tmp_path: Path, works: Callable[..., Work]) -> None:
    cramped = Cramped(base_of("sd1", tmp_path / "base"), room=0, spared=0)
    learned = learn(cramped, [works("fox", init="fox", resolution_px=32, max_steps=1)], num_slots=1)  # type: ignore[arg-type]
    assert isinstance(learned.errors["fox"], OutOfMemoryError)
    assert cramped.tried == [4, 2, 1, 1]


def test_a_look_without_memory_changes_nothing_of_the_way_back(tmp_path: Path, works: Callable[..., Work]) -> None:
    model = base_of("sd1", tmp_path / "base")
    pack = ConceptPack(model, 1)
    pack.add(works("fox", init="fox", resolution_px=32))
    with torch.no_grad():
        assert not pack.room.lacked("look", 1)
    assert model.checkpoint_gradients(), "nobody switched it on"
