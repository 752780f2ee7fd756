"""A training of the demo base that has a time limit keeps it, and ends with a learning rate near zero."""

import itertools
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from transformers import CLIPTextModel, CLIPTokenizer

from textinv.demo import WEIGHTS
from textinv.demo.artwork import default_world
from textinv.demo.making.composing import Composer
from textinv.demo.making.pool import SHARD, LatentPool
from textinv.demo.making.train_unet import Settings, UNetTraining
from textinv.demo.making.train_vae import DECODER, VaeTraining

pytestmark = pytest.mark.load


@pytest.fixture(autouse=True)
def _a_second_passes_at_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: float(next(seconds)))


def unet_training(folder: Path, settings: Settings) -> UNetTraining:
    vae = AutoencoderKL.from_pretrained(WEIGHTS / "vae").float().eval().requires_grad_(False)
    pool = LatentPool(Composer((default_world(),), 0), vae, CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer"))
    text_encoder = CLIPTextModel.from_pretrained(WEIGHTS / "text_encoder").float().eval().requires_grad_(False)
    return UNetTraining(folder, pool, text_encoder, settings, torch.device("cpu"))


def test_the_learning_rate_of_a_unet_falls_over_the_last_half_of_its_time(tmp_path: Path) -> None:
    training = unet_training(tmp_path, Settings(warm_up=1, seconds=1000.0))
    rates = list(training.learning_rates(1_000_000, 0))
    assert len(rates) == 999
    assert set(rates[60:490]) == {training.settings.learning_rate}
    assert rates[499:] == sorted(rates[499:], reverse=True)
    assert rates[749] == pytest.approx(training.settings.learning_rate / 2, rel=0.01)
    assert 0 < rates[-1] < 0.01 * training.settings.learning_rate


def test_a_unet_has_its_pool_before_its_time_begins(tmp_path: Path) -> None:
    training = unet_training(tmp_path, Settings(batch=1, pool_start=2 * SHARD, seconds=3.0))
    training.run(1_000_000, 0)
    assert len(training.pool) == 2 * SHARD
    assert training.step == 2


def test_a_decoder_ends_within_its_time_and_is_saved(tmp_path: Path) -> None:
    vae = AutoencoderKL.from_pretrained(WEIGHTS / "vae")
    settings = replace(DECODER, batch=1, samples=1_000_000, seconds=4.0)
    training = VaeTraining(tmp_path, vae, (default_world(),), settings)
    training.run()
    assert training.step == 3
    assert AutoencoderKL.from_pretrained(tmp_path / "vae").config.latent_channels == vae.config.latent_channels
