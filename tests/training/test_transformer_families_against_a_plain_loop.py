"""Rows of transformer families after five steps are those of a plain loop over diffusers' own components."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from tests.fixtures.heavy import heavy
from tests.models.transformer_bases import ENCODERS, SIDE, WORD, make_transformer_base, table_of
from textinv.embedding import Embedding
from textinv.embedding.foreign import import_embedding
from textinv.embedding.formats import export_embedding
from textinv.images.fit import fit_picture
from textinv.models import BaseModel, file_keys_of, load_base_model
from textinv.spec import OptimizerSpec
from textinv.training import Work
from textinv.training.pack import ConceptPack
from textinv.training.streams import Choices, Draw, draw
from textinv.training.train import learn

STEPS = 5
Predict = Callable[[Any, list[str], Tensor, Tensor], Tensor]


def _sd3(pipeline: Any, texts: list[str], noisy: Tensor, times: Tensor) -> Tensor:
    hidden, _, pooled, _ = pipeline.encode_prompt(texts, texts, texts, "cpu", do_classifier_free_guidance=False)
    predicted: Tensor = pipeline.transformer(
        hidden_states=noisy, timestep=times, encoder_hidden_states=hidden, pooled_projections=pooled
    ).sample
    return predicted


def _sana(pipeline: Any, texts: list[str], noisy: Tensor, times: Tensor) -> Tensor:
    hidden, mask, _, _ = pipeline.encode_prompt(texts, do_classifier_free_guidance=False, device="cpu")
    predicted: Tensor = pipeline.transformer(
        noisy, encoder_hidden_states=hidden, encoder_attention_mask=mask, timestep=times
    ).sample
    return predicted


def _pixart(pipeline: Any, texts: list[str], noisy: Tensor, times: Tensor) -> Tensor:
    hidden, mask, _, _ = pipeline.encode_prompt(texts, do_classifier_free_guidance=False, device="cpu")
    sizes = {"resolution": None, "aspect_ratio": None}
    told = {"encoder_attention_mask": mask, "added_cond_kwargs": sizes}
    predicted, _ = pipeline.transformer(noisy, encoder_hidden_states=hidden, timestep=times, **told).sample.chunk(2, 1)
    return torch.as_tensor(predicted)


def _flux(pipeline: Any, texts: list[str], noisy: Tensor, times: Tensor) -> Tensor:
    is_dev = pipeline.transformer.config.guidance_embeds
    hidden, pooled, txt_ids = pipeline.encode_prompt(
        texts, texts, device="cpu", max_sequence_length=512 if is_dev else 256
    )
    batch, channels, height, width = noisy.shape
    predicted = pipeline.transformer(
        hidden_states=pipeline._pack_latents(noisy, batch, channels, height, width),
        timestep=times / 1000,
        guidance=torch.full((batch,), 3.5) if is_dev else None,
        pooled_projections=pooled,
        encoder_hidden_states=hidden,
        txt_ids=txt_ids,
        img_ids=pipeline._prepare_latent_image_ids(batch, height // 2, width // 2, "cpu", torch.float32),
    ).sample
    scale = pipeline.vae_scale_factor
    return torch.as_tensor(pipeline._unpack_latents(predicted, height * scale, width * scale, scale))


def _z_image(pipeline: Any, texts: list[str], noisy: Tensor, times: Tensor) -> Tensor:
    hidden, _ = pipeline.encode_prompt(texts, device="cpu", do_classifier_free_guidance=False)
    pictures = list(noisy[:, :, None].unbind())
    predicted = pipeline.transformer(pictures, (1000 - times) / 1000, hidden, return_dict=False)[0]
    return -torch.stack(predicted)[:, :, 0]


PREDICT: dict[str, Predict] = {
    "sd3": _sd3,
    "sana": _sana,
    "pixart": _pixart,
    "flux-dev": _flux,
    "flux-schnell": _flux,
    "z-image": _z_image,
}


@pytest.fixture(scope="module", params=["sd3", "flux-dev", *heavy(["sana", "pixart", "flux-schnell", "z-image"])])
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_transformer_base(family, tmp_path_factory.mktemp(family) / "base")


@pytest.fixture(scope="module")
def model(folder: Path) -> BaseModel:
    return load_base_model(str(folder), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def work(family: str, works: Callable[..., Work], adamw: OptimizerSpec) -> Work:
    fields = {"init": WORD, "num_vectors": 1, "resolution_px": SIDE[family], "timesteps": (0, 1000), "flip": True}
    fields["samples_per_step"] = 2
    return works("fox", optimizer=adamw, max_steps=STEPS, min_steps=STEPS, **fields)


@pytest.fixture(scope="module")
def learned(model: BaseModel, work: Work) -> Embedding:
    return learn(model, [work], num_slots=1).concepts["fox"].embedding


def test_a_family_learns_the_rows_of_a_plain_loop(
    family: str, folder: Path, model: BaseModel, work: Work, learned: Embedding
) -> None:
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    side = SIDE[family] // model.latent_scale
    choices = Choices(len(work.pictures), 3, (0, 1000), model.process, True, (model.latent_channels, side**2))
    draws = [draw(work.spec.seed, step, work.spec.samples_per_step, choices) for step in range(STEPS)]
    theirs = _plain_loop(pipeline, family, work, draws, side)
    assert learned.rows.keys() == theirs.keys()
    for encoder, rows_ND in theirs.items():
        assert (rows_ND - model.token_rows(encoder, WORD)).abs().max() > 1e-3
        torch.testing.assert_close(learned.rows[encoder], rows_ND, rtol=0, atol=1e-5)


def test_neighbours_and_an_interruption_change_nothing(
    model: BaseModel, work: Work, learned: Embedding, works: Callable[..., Work], adamw: OptimizerSpec
) -> None:
    fields = {"init": "cup", "num_vectors": 2, "resolution_px": work.spec.resolution_px, "context_weight": 0.1}
    neighbour = works("cup", "teal", optimizer=adamw, max_steps=9, min_steps=9, class_word="cup", **fields)
    pack = ConceptPack(model, 2)
    pack.add(neighbour)
    slot = pack.add(work)
    for _ in range(2):
        pack.step()
    kept = pack.checkpoint(slot)
    again = ConceptPack(model, 2)
    slot = again.add(replace(work, checkpoint=kept))
    for _ in range(STEPS - slot.step):
        again.step()
    again.look()
    for encoder, rows_ND in slot.latest_rows.items():
        torch.testing.assert_close(rows_ND, learned.rows[encoder], rtol=0, atol=1e-5)


@pytest.mark.parametrize("format", ["auto", "onetrainer"])
def test_what_was_exported_is_imported_again(learned: Embedding, format: str, tmp_path: Path) -> None:
    keys = file_keys_of(learned.rows)
    (file,) = export_embedding(learned, "fox", format, tmp_path, keys=keys)
    assert import_embedding(file, keys, only=True) == import_embedding(file, file_keys_of()) == learned


def _plain_loop(pipeline: Any, family: str, work: Work, draws: list[Draw], side: int) -> dict[str, Tensor]:
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False)
    tables, ids = {}, {}
    for name, (encoder, tokenizer) in ENCODERS[family].items():
        tables[name] = table_of(getattr(pipeline, encoder)).requires_grad_(True)
        ids[name] = getattr(pipeline, tokenizer)(f" {WORD}", add_special_tokens=False).input_ids
        assert len(ids[name]) == 1
    rows = {name: table[ids[name]].detach().clone().requires_grad_() for name, table in tables.items()}
    rate = work.spec.optimizer.learning_rate
    optimizer = torch.optim.AdamW(list(rows.values()), lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0)
    size = SIDE[family]
    upright = [torch.from_numpy(fit_picture(one, size, size, "center")[0]) for one in work.pictures]
    mean, std = _posterior(pipeline.vae, torch.stack([*upright, *[one.flip(-1) for one in upright]]))
    for drawn in draws:
        for name, table in tables.items():
            table.data[ids[name]] = rows[name].data
        which_B = drawn.pictures_B + len(upright) * drawn.flips_B
        latent_noise, noise = torch.from_numpy(drawn.noises_2BCA).unflatten(-1, (side, side))
        clean = mean[which_B] + std[which_B] * latent_noise
        times = torch.from_numpy(drawn.timesteps_B)
        noisy, target = _noised(pipeline.scheduler, clean, noise, times)
        texts = [work.spec.templates[caption].replace("{}", WORD) for caption in drawn.captions_B]
        predicted = PREDICT[family](pipeline, texts, noisy, times)
        grads = torch.autograd.grad(torch.nn.functional.mse_loss(predicted, target), list(tables.values()))
        for name, grad in zip(tables, grads, strict=True):
            rows[name].grad = grad[ids[name]]
        optimizer.step()
    return {name: row.detach() for name, row in rows.items()}


def _posterior(vae: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    encoded, scale = vae.encode(pixels), vae.config.scaling_factor
    if not hasattr(encoded, "latent_dist"):
        return encoded.latent * scale, torch.zeros(())[None].expand(len(pixels))[:, None, None, None]
    shift = vae.config.shift_factor or 0.0
    return (encoded.latent_dist.mean - shift) * scale, encoded.latent_dist.std * scale


def _noised(scheduler: Any, clean: Tensor, noise: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    if not times.is_floating_point():
        process = diffusers.DDPMScheduler.from_config(scheduler.config)
        return process.add_noise(clean, noise, times), noise
    sigma = (times / 1000)[:, None, None, None]
    return (1 - sigma) * clean + sigma * noise, noise - clean
