"""Train the UNet of the demo base on the wider world, with words that only pictures explain.

A share of the samples is asked for by a word whose rows a second network writes from other pictures of the group
(`word_writer`); both networks learn from the one loss. Starts from the shipped UNet and its text encoder, which stays
as it is. Made to run for days in the background, in one process of one thread: `kill -STOP` and `-CONT` pause it,
`-TERM` saves and ends it, and a run continues from `state.pt` of its folder, which holds the step, both networks with
their averages and optimizers, and how many groups have been composed.

    nice -n 19 python -m textinv.demo.making.train_wide --icons ICONS.npz --out FOLDER

Shape legend: B batch, C latent channels, H W latent size, L tokens, R rows, D width.
"""

import argparse
import copy
import itertools
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from textinv.demo import WEIGHTS
from textinv.demo.icons import load_sprites
from textinv.demo.making.group_pool import Batch, GroupPool
from textinv.demo.making.held_out_batches import held_out_batches
from textinv.demo.making.optimizers import MuonWithAdamW
from textinv.demo.making.precision import reduced_precision
from textinv.demo.making.wide_world import wide_world
from textinv.demo.making.word_writer import WordWriter, vocabulary_norm
from textinv.models.prompt import Tokens
from textinv.models.text_encoder import TextEncoder, clip_encoder


@dataclass(frozen=True)
class Settings:
    """What one run of the training does."""

    batch: int = 144
    """Samples of a step; orthogonalising its update takes as long as about 25 samples."""
    forwards: int = 2
    """Parts that a batch is taken in, to save memory."""
    learning_rate: float = 8e-4
    writer_learning_rate: float = 5e-4
    warm_up: int = 100
    """Steps over which the learning rates rise, in each run: a lost optimizer state costs no more than that."""
    cool_down: int = 0
    """Steps at the end of the run over which the learning rates fall to zero."""
    drop_text: float = 0.1
    """Share of samples that are trained without their text, for classifier-free guidance."""
    word_share: float = 0.6
    """Of the samples that have a word, how many are asked for by it."""
    average_over: float = 0.1
    """Width of the weight average, as a share of the steps so far."""
    max_average_decay: float = 0.9995
    pool_start: int = 1_024
    """Groups that are composed before the first step."""
    pool_max: int = 24_576
    samples_per_group: float = 24.0
    """The pool takes in new groups as fast as this many samples of each are trained."""
    minutes_between_saves: float = 5.0
    log_every: int = 5
    look_every: int = 50
    """Steps between looks at the batches that are not trained on."""
    seed: int = 28


@dataclass
class WideTraining:
    """The state of a training, and its step."""

    folder: Path
    pool: GroupPool
    text_encoder: TextEncoder
    unet: UNet2DConditionModel
    settings: Settings
    held_out: Mapping[str, Batch]
    step: int = 0
    samples: int = 0
    stopping: bool = False
    average: UNet2DConditionModel = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(self.settings.seed)
        norm = vocabulary_norm(self.text_encoder.embedding.weight)
        self.writer = WordWriter(self.unet.config.in_channels, self.text_encoder.width, norm)
        self.average = copy.deepcopy(self.unet).eval().requires_grad_(False)
        self.average_writer = copy.deepcopy(self.writer).eval().requires_grad_(False)
        self.optimizer = MuonWithAdamW(self.unet)
        self.writer_optimizer = torch.optim.AdamW(self.writer.parameters(), betas=(0.9, 0.99), fused=True)
        self.noise_scheduler = DDPMScheduler.from_pretrained(WEIGHTS / "scheduler")
        empty = self.pool.tokenizer([""], padding="max_length", truncation=True, return_tensors="pt")
        self.null_ids_L = empty.input_ids[0]

    def stop(self, *_: object) -> None:
        """End after the current step; a handler of signals."""
        self.stopping = True

    def hidden(self, batch: Batch, writer: WordWriter) -> Tensor:
        """The text encoder's output `(B, L, D)`, with the words that `writer` writes among the captions."""
        rows_RD, row_BL = None, torch.full_like(batch.ids_BL, -1)
        worded_B = (batch.ids_BL < 0).any(1)
        if worded_B.any():
            rows_BRD = writer(batch.others_BPCHW[worded_B], batch.shown_BP[worded_B])
            first_B = (worded_B.cumsum(0) - 1) * rows_BRD.shape[1]
            row_BL = torch.where(batch.ids_BL < 0, first_B[:, None] - 1 - batch.ids_BL, -1)
            rows_RD = rows_BRD.flatten(0, 1)
        encoded = self.text_encoder.encode(Tokens(batch.ids_BL.clamp(min=0), row_BL), rows_RD)
        return torch.as_tensor(encoded.last_hidden_state)

    def losses(
        self, batch: Batch, generator: torch.Generator, unet: UNet2DConditionModel, writer: WordWriter
    ) -> Tensor:
        """Mean squared error of the v-prediction of each sample; timesteps favour the middle, where shapes form."""
        num = len(batch.ids_BL)
        noise_BCHW = torch.randn(batch.latents_BCHW.shape, generator=generator)
        timesteps_B = (torch.randn(num, generator=generator) * 1.1 + 0.2).sigmoid().mul(1000).long()
        noisy_BCHW = self.noise_scheduler.add_noise(batch.latents_BCHW, noise_BCHW, timesteps_B)
        target_BCHW = self.noise_scheduler.get_velocity(batch.latents_BCHW, noise_BCHW, timesteps_B)
        noisy_BCHW = noisy_BCHW.contiguous(memory_format=torch.channels_last)
        with reduced_precision(noisy_BCHW.device):
            predicted = unet(noisy_BCHW, timesteps_B, self.hidden(batch, writer), added_cond_kwargs={}).sample
        return F.mse_loss(predicted.float(), target_BCHW, reduction="none").mean((1, 2, 3))

    def batch(self, num: int, generator: torch.Generator) -> Batch:
        """Draw samples to train on; some lose their text."""
        settings = self.settings
        batch = self.pool.draw(num, settings.word_share, generator)
        dropped_B = torch.rand(num, generator=generator) < settings.drop_text
        ids_BL = torch.where(dropped_B[:, None], self.null_ids_L, batch.ids_BL)
        return Batch(batch.latents_BCHW, ids_BL, batch.others_BPCHW, batch.shown_BP)

    def advance(self, rate: float) -> float:
        """Take one step at this share of the learning rates and return its loss."""
        settings = self.settings
        torch.manual_seed(settings.seed + self.step)  # the writer's jitter
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + self.step)
        loss = 0.0
        for _ in range(settings.forwards):
            batch = self.batch(settings.batch // settings.forwards, generator)
            part = self.losses(batch, generator, self.unet, self.writer).mean() / settings.forwards
            part.backward()  # type: ignore[no-untyped-call]
            loss += part.item()
        for module in (self.unet, self.writer):
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        self.optimizer.step(settings.learning_rate * rate)
        self.writer_optimizer.param_groups[0]["lr"] = settings.writer_learning_rate * rate
        self.writer_optimizer.step()
        self.writer_optimizer.zero_grad()
        self.step += 1
        self.samples += settings.batch
        decay = min(settings.max_average_decay, 1 - 1 / (1 + settings.average_over * self.step))
        with torch.no_grad():
            for average, module in ((self.average, self.unet), (self.average_writer, self.writer)):
                torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), 1 - decay)
        return loss

    def run(self, num_steps: int | None = None, say: Callable[[str], None] = print) -> None:
        """Train until `num_steps` more are done, or until told to stop; save now and then and at the end."""
        settings = self.settings
        while len(self.pool) < settings.pool_start and not self.stopping:
            self.pool.grow()
        grown_at, saved, started, mean = self.samples, time.monotonic(), time.monotonic(), 0.0
        for done in itertools.count() if num_steps is None else range(num_steps):
            if self.stopping:
                break
            while self.samples - grown_at >= settings.samples_per_group * self.pool.shard:
                self.pool.grow()
                grown_at += round(settings.samples_per_group * self.pool.shard)
            left = num_steps - done if num_steps is not None and settings.cool_down else settings.cool_down or 1
            rate = min(1.0, (done + 1) / settings.warm_up, left / max(1, settings.cool_down))
            loss = self.advance(rate)
            mean = loss if not done else 0.95 * mean + 0.05 * loss
            if self.step % settings.log_every == 0:
                speed = (done + 1) * settings.batch / (time.monotonic() - started)
                say(f"step {self.step} samples {self.samples} loss {mean:.4f} {speed:.1f}/s pool {len(self.pool)}")
            if self.step % settings.look_every == 0 or not done:
                say(f"step {self.step} not trained on: {self.look()}")
            if time.monotonic() - saved > 60 * settings.minutes_between_saves:
                self.save()
                saved = time.monotonic()
        self.save()

    @torch.no_grad()
    def look(self) -> str:
        """Losses of the average on batches that are not trained on, with the same noise every time."""
        losses = {}
        for name, batch in self.held_out.items():
            generator = torch.Generator().manual_seed(0)
            losses[name] = self.losses(batch, generator, self.average, self.average_writer).mean().item()
        return ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items())

    def save(self) -> None:
        """Write the averaged UNet as a diffusers folder in fp16, and everything a later run continues from."""
        copy.deepcopy(self.average).half().save_pretrained(self.folder / "unet")
        state = {name: part.state_dict() for name, part in self._parts().items()}
        state |= {"step": self.step, "samples": self.samples, "composed": self.pool.composed}
        torch.save(state, self.folder / "state.tmp")
        os.replace(self.folder / "state.tmp", self.folder / "state.pt")

    def resume(self) -> None:
        """Continue from the folder's own state, if it has one."""
        if (self.folder / "state.pt").exists():
            state: dict[str, Any] = torch.load(self.folder / "state.pt")
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            self.step, self.samples, self.pool.composed = state["step"], state["samples"], state["composed"]

    def _parts(self) -> dict[str, Any]:
        return {
            "unet": self.unet,
            "writer": self.writer,
            "average": self.average,
            "average_writer": self.average_writer,
            "optimizer": self.optimizer,
            "writer_optimizer": self.writer_optimizer,
        }


def start(icons: Path, out: Path, settings: Settings) -> WideTraining:
    """Set a training up from the shipped parts and the folder's own state."""
    out.mkdir(parents=True, exist_ok=True)
    vae = AutoencoderKL.from_pretrained(WEIGHTS / "vae").float().eval().requires_grad_(False)
    text_model = CLIPTextModel.from_pretrained(WEIGHTS / "text_encoder", dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer")
    text_encoder = clip_encoder("text_encoder", text_model.eval().requires_grad_(False), tokenizer)
    sprites = load_sprites(icons)
    pool = GroupPool(wide_world(sprites), vae, tokenizer, settings.seed, settings.pool_max)
    unet = UNet2DConditionModel.from_pretrained(WEIGHTS / "unet").float().train()
    unet.to(memory_format=torch.channels_last)
    held_out = held_out_batches(sprites, pool)
    training = WideTraining(out, pool, text_encoder, unet, settings, held_out)
    training.resume()
    return training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--icons", type=Path, required=True, help="sprites written by textinv.demo.icons.save_sprites")
    parser.add_argument("--out", type=Path, required=True, help="folder for the state and the trained UNet")
    parser.add_argument("--samples", type=int, help="samples to train in this run; without it, until it is ended")
    parser.add_argument("--cool-down", type=int, default=0, help="of these, at the end, with falling learning rates")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cool_down = arguments.cool_down // Settings.batch
    training = start(arguments.icons, arguments.out, Settings(cool_down=cool_down))
    signal.signal(signal.SIGTERM, training.stop)
    steps = None if arguments.samples is None else arguments.samples // Settings.batch
    training.run(steps, lambda line: print(time.strftime("%F %T"), line, flush=True))


if __name__ == "__main__":
    main()
