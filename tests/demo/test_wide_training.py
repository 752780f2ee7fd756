"""The training on the wider world: words that pictures explain, and a run that goes on where it was ended."""

from functools import cache
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from textinv.demo import WEIGHTS
from textinv.demo.artwork import demo_sprites
from textinv.demo.making.group_pool import Batch, GroupPool
from textinv.demo.making.train_unet import UNET_CONFIG
from textinv.demo.making.train_wide import Settings, WideTraining
from textinv.demo.making.wide_world import GROUP, wide_world
from textinv.demo.making.word_writer import WordWriter, word_ids
from textinv.models.text_encoder import TextEncoder, clip_encoder

SETTINGS = Settings(batch=4, forwards=2, warm_up=1, pool_start=2, log_every=1)
SMALL = {"block_out_channels": (32, 32, 32), "attention_head_dim": (1, 1, 1)}


@cache
def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer")


@cache
def pool() -> GroupPool:
    """Two groups; no test changes it."""
    vae = AutoencoderKL.from_pretrained(WEIGHTS / "vae").float().eval().requires_grad_(False)
    filled = GroupPool(wide_world(demo_sprites()), vae, tokenizer(), seed=1, capacity=2, shard=1)
    filled.grow()
    filled.grow()
    return filled


@cache
def text_encoder() -> TextEncoder:
    network = CLIPTextModel.from_pretrained(WEIGHTS / "text_encoder", dtype=torch.float32)
    return clip_encoder("text_encoder", network.eval().requires_grad_(False), tokenizer())


def training(folder: Path) -> WideTraining:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**{**UNET_CONFIG, **SMALL}).train()
    batch = pool().draw(2, 1.0, torch.Generator().manual_seed(3))
    return WideTraining(folder, pool(), text_encoder(), unet, SETTINGS, {"aside": batch})


@pytest.mark.load
def test_a_run_that_is_resumed_goes_on_as_it_would_have(tmp_path: Path) -> None:
    one, other = training(tmp_path), training(tmp_path)
    one.run(1, lambda _: None)
    other.resume()
    assert (other.step, other.samples) == (1, 4)
    losses = [each.advance(1.0) for each in (one, other)]
    assert losses[0] == losses[1]
    for first, second in ((one.unet, other.unet), (one.writer, other.writer), (one.average, other.average)):
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    saved = UNet2DConditionModel.from_pretrained(tmp_path / "unet")
    assert saved.config.cross_attention_dim == UNET_CONFIG["cross_attention_dim"]


def test_a_run_that_is_told_to_stop_ends_after_its_step_and_is_saved(tmp_path: Path) -> None:
    running = training(tmp_path)
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        running.stop()

    running.run(say=say)
    assert running.step == 1
    assert lines[0].startswith("step 1 samples 4 loss ")
    assert torch.load(tmp_path / "state.pt")["step"] == 1
    assert {path.name for path in tmp_path.iterdir()} == {"state.pt", "unet"}


def test_new_groups_replace_the_oldest_and_are_never_composed_again() -> None:
    full = pool()
    latents_GPCHW, plain_GPL, _ = full.compose(range(1, 2))
    assert len(full) == full.capacity == full.composed == 2
    assert torch.equal(full.latents_GPCHW[1:], latents_GPCHW)
    assert torch.equal(full.plain_GPL[1:], plain_GPL)
    assert not torch.equal(full.plain_GPL[:1], plain_GPL)


def test_a_sample_never_explains_its_own_word() -> None:
    batch = pool().draw(40, 1.0, torch.Generator().manual_seed(0))
    own_BP = (batch.others_BPCHW == batch.latents_BCHW[:, None]).flatten(2).all(2)
    assert own_BP.any(1).all()
    assert not (own_BP & batch.shown_BP).any()
    assert set(batch.shown_BP.sum(1).tolist()) == set(range(1, GROUP))


def test_a_written_word_is_read_as_the_vocabularys_word_with_the_same_row(tmp_path: Path) -> None:
    trained = training(tmp_path)
    said, written = "a fox on a red background", "a {} on a red background"
    fox = tokenizer()("fox", add_special_tokens=False).input_ids
    assert len(fox) == 1

    class Fox(WordWriter):
        def forward(self, latents_BPCHW: Tensor, shown_BP: Tensor) -> Tensor:
            row_D = trained.text_encoder.embedding.weight[fox[0]]
            return row_D.expand(len(shown_BP), 4, -1)

    batch = pool().draw(2, 0.0, torch.Generator().manual_seed(0))
    plain_ids = tokenizer()(["a castle", said], padding="max_length", return_tensors="pt").input_ids
    ids = torch.cat([plain_ids[:1], word_ids(tokenizer(), [written], [1])])
    hidden = [
        trained.hidden(Batch(batch.latents_BCHW, each, batch.others_BPCHW, batch.shown_BP), Fox(4, 192, 1.0))
        for each in (plain_ids, ids)
    ]
    torch.testing.assert_close(hidden[0], hidden[1])


def test_a_word_takes_as_many_places_as_it_has_rows() -> None:
    ids_BL = word_ids(tokenizer(), ["a {} and a fox", "two {}"], [3, 1])
    rest = [row[row >= 0].tolist() for row in ids_BL]
    plain = [tokenizer()(text).input_ids for text in ("a and a fox", "two")]
    assert [each[: len(found)] for each, found in zip(rest, plain, strict=True)] == plain
    assert [row[row < 0].tolist() for row in ids_BL] == [[-1, -2, -3], [-1]]
    assert ids_BL.shape == (2, tokenizer().model_max_length)


def test_the_rows_of_a_word_are_as_long_as_those_of_the_vocabulary() -> None:
    writer = WordWriter(4, 192, 0.31)
    shown_BP = torch.tensor([[True, True, False, False]])
    rows_BRD = writer(torch.randn(1, GROUP, 4, 16, 16), shown_BP)
    assert rows_BRD.norm(dim=-1).tolist() == [[pytest.approx(0.31)] * 4]
    latents_BPCHW = torch.randn(1, GROUP, 4, 16, 16)
    changed = latents_BPCHW.clone()
    changed[:, 2:] = 0
    writer.eval()
    torch.testing.assert_close(writer(latents_BPCHW, shown_BP), writer(changed, shown_BP))
