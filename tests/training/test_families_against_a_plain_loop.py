"""Rows after five steps are those of a plain loop over diffusers' own components that draws the same samples."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from tests.fixtures.heavy import heavy
from tests.models.tiny_bases import make_base
from textinv.images import Picture
from textinv.images.fit import crop_box, fit_picture
from textinv.models import load_base_model
from textinv.spec import OptimizerSpec
from textinv.training import Work
from textinv.training.streams import Choices, Draw, draw
from textinv.training.train import learn

BASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "sd1": ("sd1", "epsilon", {}),
    "sd2": ("sd2", "epsilon", {}),
    "sd2-v": ("sd2", "v_prediction", {}),
    "sd2-v-zero": ("sd2", "v_prediction", {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}),
    "sdxl": ("sdxl", "epsilon", {}),
    "ldm": ("ldm", "epsilon", {}),
}
SKIPPED = {"sd1-skip": "sd1", "sd2-v-skip": "sd2-v", "sdxl-skip": "sdxl"}
"""Named with `clip_skip=2`."""
VARIANTS = ("sd2", "sd2-v", "sd2-v-zero", "sd1-skip", "sdxl-skip")
STEPS, SIDE = 5, 32


def tall_and_wide(pictures: Sequence[Picture]) -> list[Picture]:
    """Cut, so that what is learned of them is a part."""
    cut = [pictures[0].pixels[:, 10:58], pictures[1].pixels[8:50], pictures[2].pixels]
    return [replace(picture, pixels=pixels) for picture, pixels in zip(pictures, cut, strict=True)]


@pytest.mark.parametrize("name", ["sd1", "sd2-v-skip", "sdxl", "ldm", *heavy(VARIANTS)])
def test_a_family_learns_the_rows_of_a_plain_loop(
    name: str, tmp_path: Path, works: Callable[..., Work], adamw: OptimizerSpec
) -> None:
    family, predicts, changes = BASES[SKIPPED.get(name, name)]
    folder = make_base(family, tmp_path / "base", predicts)
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    ids = pipeline.tokenizer("fox", add_special_tokens=False).input_ids
    fields = {"init": "fox", "num_vectors": len(ids), "resolution_px": SIDE, "timesteps": (0, 1000)}
    fields |= {"tells_sizes": family == "sdxl", "crop": "random", "flip": True}
    work = works("fox", optimizer=adamw, max_steps=STEPS, min_steps=STEPS, **fields)
    work = replace(work, pictures=tall_and_wide(work.pictures))
    skip = "?clip_skip=2" if name in SKIPPED else ""
    model = load_base_model(f"{folder}{skip}", device="cpu", dtype="float32")
    choices = Choices(len(work.pictures), 3, (0, 1000), model.process, True, (4, (SIDE // 4) ** 2))
    draws = [draw(work.spec.seed, step, work.spec.samples_per_step, choices) for step in range(STEPS)]
    ours = learn(model, [work], num_slots=1).concepts["fox"].embedding.rows
    theirs = _plain_loop(pipeline, work, draws, 2 if skip else 1)
    assert ours.keys() == theirs.keys()
    for encoder, rows_ND in theirs.items():
        start_ND = model.token_rows(encoder, "fox")
        assert (rows_ND - start_ND).abs().max() > 1e-3
        torch.testing.assert_close(ours[encoder], rows_ND, rtol=0, atol=1e-5)


def _plain_loop(pipeline: Any, work: Work, draws: list[Draw], clip_skip: int) -> dict[str, Tensor]:
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False)
    tables, ids, rows = _tables(pipeline)
    optimizer = torch.optim.AdamW(
        list(rows.values()), lr=work.spec.optimizer.learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0
    )
    scheduler = diffusers.DDPMScheduler.from_config(pipeline.scheduler.config)
    vae = getattr(pipeline, "vae", None) or pipeline.vqvae
    upright = [
        torch.from_numpy(fit_picture(one, SIDE, SIDE, "random", seed=work.spec.seed)[0]) for one in work.pictures
    ]
    pixels = torch.stack([*upright, *[one.flip(-1) for one in upright]])
    sizes = torch.tensor([_sizes(one, work, mirrored) for mirrored in (False, True) for one in work.pictures])
    posterior = vae.encode(pixels).latent_dist
    for drawn in draws:
        for name, table in tables.items():
            table.data[ids[name]] = rows[name].data
        which_B = drawn.pictures_B + len(upright) * drawn.flips_B
        latent_noise, noise = torch.from_numpy(drawn.noises_2BCA).unflatten(-1, posterior.mean.shape[-2:])
        clean = posterior.mean[which_B] + posterior.std[which_B] * latent_noise
        clean = clean * vae.config.scaling_factor
        times = torch.from_numpy(drawn.timesteps_B)
        noisy = scheduler.add_noise(clean, noise, times)
        is_velocity = scheduler.config.prediction_type == "v_prediction"
        target = scheduler.get_velocity(clean, noise, times) if is_velocity else noise
        texts = [work.spec.templates[caption].replace("{}", "fox") for caption in drawn.captions_B]
        hidden, added = _encoded(pipeline, texts, clip_skip, sizes[which_B])
        predicted = pipeline.unet(noisy, times, hidden, added_cond_kwargs=added).sample
        loss = torch.nn.functional.mse_loss(predicted, target)
        grads = torch.autograd.grad(loss, list(tables.values()))
        for name, grad in zip(tables, grads, strict=True):
            rows[name].grad = grad[ids[name]]
        optimizer.step()
    return {name: row.detach() for name, row in rows.items()}


def _tables(pipeline: Any) -> tuple[dict[str, Tensor], dict[str, list[int]], dict[str, Tensor]]:
    """Token embeddings by text encoder, where `fox` stands in them, and its rows to be trained."""
    if hasattr(pipeline, "bert"):
        tables = {"text_encoder": pipeline.bert.model.embed_tokens.weight}
    else:
        names = [name for name in ("text_encoder", "text_encoder_2") if hasattr(pipeline, name)]
        tables = {name: getattr(pipeline, name).get_input_embeddings().weight for name in names}
    ids = {
        name: getattr(pipeline, name.replace("text_encoder", "tokenizer"))("fox", add_special_tokens=False).input_ids
        for name in tables
    }
    for table in tables.values():
        table.requires_grad_(True)
    rows = {name: table[ids[name]].detach().clone().requires_grad_() for name, table in tables.items()}
    return tables, ids, rows


def _sizes(picture: Picture, work: Work, mirrored: bool) -> list[float]:
    """What diffusers' own SDXL training tells of a picture: its size, and its crop after it was scaled and mirrored."""
    height, width = picture.pixels.shape[:2]
    left, top, right, _ = crop_box(picture, 1.0, "random", seed=work.spec.seed)
    scaled = SIDE / min(height, width)
    across = width - right if mirrored else left
    return [float(each) for each in (height, width, round(top * scaled), round(across * scaled), SIDE, SIDE)]


def _encoded(pipeline: Any, texts: list[str], clip_skip: int, sizes: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    def read(tokenizer: Any, length: int) -> Tensor:
        found: Tensor = tokenizer(texts, padding="max_length", max_length=length, return_tensors="pt").input_ids
        return found

    if hasattr(pipeline, "bert"):
        return pipeline.bert(read(pipeline.tokenizer, 77))[0], {}
    window = pipeline.text_encoder.config.max_position_embeddings
    ids = read(pipeline.tokenizer, window)
    if not hasattr(pipeline, "text_encoder_2"):
        layer = pipeline.text_encoder(ids, output_hidden_states=True).hidden_states[-clip_skip]
        return pipeline.text_encoder.final_layer_norm(layer), {}
    first = pipeline.text_encoder(ids, output_hidden_states=True)
    second = pipeline.text_encoder_2(read(pipeline.tokenizer_2, window), output_hidden_states=True)
    hidden = torch.cat([one.hidden_states[-1 - clip_skip] for one in (first, second)], -1)
    return hidden, {"text_embeds": second.text_embeds, "time_ids": sizes}
