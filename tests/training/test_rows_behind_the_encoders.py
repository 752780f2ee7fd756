"""With `rows: output` rows are written into what the text encoders say, and nothing goes backward through these."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from tests.fixtures.heavy import heavy
from tests.models.tiny_bases import make_base
from tests.models.transformer_bases import ENCODERS, SIDE, WORD, make_transformer_base
from tests.training.test_transformer_families_against_a_plain_loop import PREDICT, _noised, _posterior
from textinv.embedding import Embedding
from textinv.embedding.foreign import import_embedding
from textinv.embedding.formats import export_embedding
from textinv.errors import InputError
from textinv.images.fit import fit_picture
from textinv.models import BaseModel, file_keys_of, load_base_model
from textinv.spec import OptimizerSpec
from textinv.training import Work
from textinv.training.pack import ConceptPack
from textinv.training.streams import Choices, Draw, draw
from textinv.training.train import learn

Works = Callable[..., Work]
STEPS = 4
ALL = slice(None)
PLACES: dict[str, dict[str, tuple[slice, slice]]] = {
    "sd1": {"text_encoder": (ALL, ALL)},
    "sana": {"gemma": (ALL, ALL)},
    "sd3": {
        "clip_l": (slice(0, 32), slice(0, 32)),
        "clip_g": (slice(0, 32), slice(32, 80)),
        "t5xxl": (slice(32, None), ALL),
    },
    "flux-dev": {"t5xxl": (ALL, ALL)},
}
"""Where each text encoder speaks in what the tiny networks are told: the positions, and the part of the width."""
TOKENIZERS = {**ENCODERS, "sd1": {"text_encoder": ("text_encoder", "tokenizer")}}


def _sd1(pipeline: Any, texts: list[str], noisy: Tensor, times: Tensor) -> Tensor:
    hidden, _ = pipeline.encode_prompt(texts, "cpu", 1, False)
    predicted: Tensor = pipeline.unet(noisy, times, encoder_hidden_states=hidden).sample
    return predicted


@pytest.fixture(scope="module", params=["sd1", *heavy(["sd3", "sana", "flux-dev"])])
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp(family) / "base"
    return make_base("sd1", place) if family == "sd1" else make_transformer_base(family, place)


@pytest.fixture(scope="module")
def model(folder: Path) -> BaseModel:
    return load_base_model(str(folder), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def work(family: str, works: Works, adamw: OptimizerSpec) -> Work:
    fields = {"init": WORD, "resolution_px": SIDE.get(family, 32), "timesteps": (0, 1000), "rows": "output"}
    return works("fox", optimizer=adamw, max_steps=STEPS, min_steps=STEPS, **fields)


@pytest.fixture(scope="module")
def learned(model: BaseModel, work: Work) -> Embedding:
    return learn(model, [work], num_slots=1).concepts["fox"].embedding


def test_rows_behind_the_encoders_are_those_of_a_plain_loop(
    family: str, folder: Path, model: BaseModel, work: Work, learned: Embedding
) -> None:
    side = work.spec.resolution_px // model.latent_scale
    choices = Choices(len(work.pictures), 3, (0, 1000), model.process, False, (model.latent_channels, side**2))
    draws = [draw(work.spec.seed, step, work.spec.samples_per_step, choices) for step in range(STEPS)]
    theirs = _plain_loop(diffusers.DiffusionPipeline.from_pretrained(folder), family, work, draws, side)
    assert learned.rows.keys() == theirs.keys() | set(model.encoder_names)
    for name, (first_ND, rows_ND) in theirs.items():
        assert (rows_ND - first_ND).abs().max() > 1e-3
        torch.testing.assert_close(learned.rows[name], rows_ND, rtol=0, atol=1e-5)
    for name in model.encoder_names:
        assert torch.equal(learned.rows[name], model.token_rows(name, WORD)), "what is read there stays the word"


def _plain_loop(
    pipeline: Any, family: str, work: Work, draws: list[Draw], side: int
) -> dict[str, tuple[Tensor, Tensor]]:
    """The first and the last rows, where the network itself is told others than its pipeline says."""
    predict: Callable[..., Tensor] = _sd1 if family == "sd1" else PREDICT[family]
    network, told = pipeline.unet if family == "sd1" else pipeline.transformer, _Told(pipeline, family)
    network.requires_grad_(False).register_forward_pre_hook(told, with_kwargs=True)
    texts = [template.replace("{}", WORD) for template in work.spec.templates]
    size = work.spec.resolution_px
    pictures = torch.stack([torch.from_numpy(fit_picture(one, size, size)[0]) for one in work.pictures])
    with torch.no_grad():
        mean, std = _posterior(pipeline.vae, pictures)
        told.texts = texts
        predict(pipeline, texts, mean[[0] * len(texts)], torch.full((len(texts),), 500))
    first = {f"{name}_out": told.said(name).mean(0, keepdim=True) for name in PLACES[family]}
    told.rows = {name: each.clone().requires_grad_() for name, each in first.items()}
    optimizer = torch.optim.AdamW(told.rows.values(), lr=work.spec.optimizer.learning_rate, weight_decay=0)
    for drawn in draws:
        latent_noise, noise = torch.from_numpy(drawn.noises_2BCA).unflatten(-1, (side, side))
        clean = mean[drawn.pictures_B] + std[drawn.pictures_B] * latent_noise
        times = torch.from_numpy(drawn.timesteps_B)
        noisy, target = _noised(pipeline.scheduler, clean, noise, times)
        told.texts = [texts[caption] for caption in drawn.captions_B]
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(predict(pipeline, told.texts, noisy, times), target)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return {name: (each, told.rows[name].detach()) for name, each in first.items()}


class _Told:
    """Hears what a network is told of texts, and puts rows where they have the word."""

    def __init__(self, pipeline: Any, family: str) -> None:
        self.pipeline, self.family = pipeline, family
        self.texts: list[str] = []
        self.rows: dict[str, Tensor] = {}
        self.hidden = torch.empty(0)

    def __call__(
        self, _: object, given: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self.hidden = named["encoder_hidden_states"].detach().clone()
        written = self.hidden.clone()
        for name, rows_1D in self.rows.items():
            across, along = PLACES[self.family][name.removesuffix("_out")]
            for text, place in enumerate(self._places(name.removesuffix("_out"))):
                written[text, range(written.shape[1])[across][place], along] = rows_1D[0]
        return given, {**named, "encoder_hidden_states": written}

    def said(self, encoder: str) -> Tensor:
        """What the encoder says of the word in each text."""
        across, along = PLACES[self.family][encoder]
        part = self.hidden[:, across, along]
        return torch.stack([part[text, place] for text, place in enumerate(self._places(encoder))])

    def _places(self, encoder: str) -> list[int]:
        tokenizer = getattr(self.pipeline, TOKENIZERS[self.family][encoder][1])
        (word,) = tokenizer(f" {WORD}", add_special_tokens=False).input_ids
        return [tokenizer(text).input_ids.index(word) for text in self.texts]


def test_neighbours_that_learn_before_the_encoders_and_an_interruption_change_nothing(
    model: BaseModel, work: Work, learned: Embedding, works: Works, adamw: OptimizerSpec
) -> None:
    fields = {"init": "cup", "num_vectors": 2, "resolution_px": work.spec.resolution_px, "optimizer": adamw}
    neighbour = works("cup", "teal", max_steps=9, min_steps=9, **fields)
    alone = learn(model, [neighbour], num_slots=1).concepts["cup"].embedding
    pack = ConceptPack(model, 2)
    other, slot = pack.add(neighbour), pack.add(work)
    for _ in range(2):
        pack.step()
    kept = pack.checkpoint(slot)
    pack.remove(slot)
    again = ConceptPack(model, 1)
    slot = again.add(replace(work, checkpoint=kept))
    for _ in range(STEPS - slot.step):
        again.step()
    again.look()
    _assert_close(slot.latest_rows, learned)
    while other.step < 9:
        pack.step()
    pack.look()
    _assert_close(other.latest_rows, alone)


def _assert_close(rows: dict[str, Tensor], learned: Embedding) -> None:
    assert rows.keys() == learned.rows.keys()
    for name, rows_ND in rows.items():
        torch.testing.assert_close(rows_ND, learned.rows[name], rtol=0, atol=1e-5)


def test_captions_are_encoded_once_while_no_neighbour_learns_before_the_encoders(
    model: BaseModel, work: Work, works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    heard = model.heard

    def watched(encoder: str, tokens: Any, rows_RD: Tensor, clip_skip: int | None = None) -> Any:
        asked.append(rows_RD.requires_grad)
        return heard(encoder, tokens, rows_RD, clip_skip)

    monkeypatch.setattr(model, "heard", watched)
    pack = ConceptPack(model, 3)
    pack.add(work)
    pack.add(works("cup", **{name: getattr(work.spec, name) for name in ("init", "resolution_px", "rows")}))
    assert len(asked) == 2 * len(model.encoder_names), "each, once for each concept"
    assert not any(asked)
    asked.clear()
    for _ in range(2):
        pack.step()
    pack.look()
    assert not asked
    pack.add(works("hat", init="cup", resolution_px=work.spec.resolution_px))
    pack.step()
    assert asked == [True] * len(model.encoder_names)


def test_on_the_sphere_rows_keep_the_length_that_they_start_with(model: BaseModel, work: Work, works: Works) -> None:
    fields = {name: getattr(work.spec, name) for name in ("init", "resolution_px", "rows", "max_steps", "min_steps")}
    pack = ConceptPack(model, 1)
    slot = pack.add(works("fox", num_vectors=2, **fields))
    pack.look()
    first = slot.latest_rows
    for _ in range(STEPS):
        pack.step()
    pack.look()
    for name in slot.learns:
        lengths = slot.latest_rows[name].norm(dim=-1)
        torch.testing.assert_close(lengths, first[name].norm(dim=-1))
        assert (slot.latest_rows[name] - first[name]).abs().max() > 1e-3


@pytest.mark.parametrize("format", ["auto", "onetrainer"])
def test_what_was_exported_is_imported_again(learned: Embedding, format: str, tmp_path: Path) -> None:
    keys = file_keys_of(learned.rows)
    (file,) = export_embedding(learned, "fox", format, tmp_path, keys=keys)
    assert import_embedding(file, keys, only=bool(keys)) == import_embedding(file, file_keys_of()) == learned


def test_rows_cannot_be_written_into_one_vector_of_the_whole_text(family: str, model: BaseModel, works: Works) -> None:
    if family != "flux-dev":
        pytest.skip("each of its text encoders is heard token by token")
    work = works("fox", init=WORD, resolution_px=128, rows="output", encoders=("clip_l",))
    with pytest.raises(InputError, match="reads only one vector for the whole text of clip_l"):
        ConceptPack(model, 1).add(work)


def test_specs_whose_rows_are_read_keep_their_fingerprints(works: Works) -> None:
    assert "rows" not in works("fox").spec.model_dump()
    assert works("fox").spec.fingerprint != works("fox", rows="output").spec.fingerprint
