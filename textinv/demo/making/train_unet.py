"""Train the UNet of the demo base on the world of emoji artwork.

Runs for as long as it is let: the learning rate stays constant after its warm-up, an average of the weights that
spans the last part of the run is what is saved, and a run continues from its own state. `--cool-down` ends a run by
lowering the learning rate to zero.

    python -m textinv.demo.making.train_unet --icons ICONS.npz --out FOLDER [--samples N] [--cool-down N] [--seconds S]

Shape legend: B batch, C latent channels, H W latent size, L tokens, D width.
"""

import argparse
import copy
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from textinv.demo import WEIGHTS
from textinv.demo.icons import Sprites, load_sprites
from textinv.demo.making.composing import Composer
from textinv.demo.making.optimizers import MuonWithAdamW
from textinv.demo.making.pool import LatentPool
from textinv.demo.making.precision import computes_in_bfloat16, reduced_precision
from textinv.demo.making.train_clip import clip_worlds
from textinv.demo.world import Odds, World

UNET_CONFIG: dict[str, Any] = {
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (64, 128, 256),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 192,
    "attention_head_dim": (2, 4, 8),  # the number of heads, each 32 wide
    "norm_num_groups": 16,
    "resnet_time_scale_shift": "scale_shift",  # the time embedding scales and shifts every block ...
    "addition_embed_type": "text",  # ... and holds a pooled text as well, so that words reach the 16x16 level
    "addition_embed_type_num_heads": 6,
}


def unet_worlds(sprites: Sprites) -> tuple[World, ...]:
    """The worlds that the UNet learns in turn: twice what it is measured by, then every object and style there is.

    More pairs than the CLIP sees, since two small things are the hardest to draw.
    """
    narrow, wide = (replace(world, odds=Odds(two=0.42, same_two=0.3)) for world in clip_worlds(sprites))
    return narrow, narrow, wide


@dataclass
class Settings:
    """What one run of the training does."""

    batch: int = 96
    learning_rate: float = 1.5e-3
    warm_up: int = 200
    """Steps over which the learning rate rises."""
    drop_text: float = 0.1
    """Share of samples that are trained without their text, for classifier-free guidance."""
    average_over: float = 0.08
    """Width of the weight average, as a share of the steps so far."""
    max_average_decay: float = 0.9995
    pool_start: int = 32_768
    pool_step: int = 8_192
    pool_max: int = 262_144
    samples_per_picture: float = 4.0
    """The pool grows until each of its pictures has been seen about this often."""
    log_every: int = 100
    save_every: int = 250
    seed: int = 0
    seconds: float | None = None
    """A time limit of the run, from when the pool has been started; the learning rate falls over its last half."""


ON_GPU = Settings(
    batch=1024,
    learning_rate=2e-3,
    pool_start=65_536,
    pool_step=32_768,
    pool_max=4_194_304,
    samples_per_picture=10.0,
    save_every=5000,
)
"""Minutes instead of hours. Pictures are composed by `--composers` processes meanwhile."""


@dataclass
class UNetTraining:
    """The state of one training run, and its step."""

    folder: Path
    pool: LatentPool
    text_encoder: CLIPTextModel
    settings: Settings
    device: torch.device
    step: int = 0
    unet: UNet2DConditionModel = field(init=False)
    average: UNet2DConditionModel = field(init=False)
    stopping: bool = False
    """Set from outside to save and end after the current step."""

    def stop(self, *_: object) -> None:
        """End after the current step; a handler of signals."""
        self.stopping = True

    def __post_init__(self) -> None:
        torch.manual_seed(self.settings.seed)
        unet = UNet2DConditionModel(**UNET_CONFIG)
        if self.device.type == "cpu" and computes_in_bfloat16(self.device):
            unet.set_attn_processor(AttnProcessor())  # 1.6 x faster than SDPA in bf16 on CPUs, at these sizes
        self.unet = unet.to(self.device, memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(self.unet).eval().requires_grad_(False)
        self.predict = torch.compile(self.unet) if self.device.type == "cuda" else self.unet
        self.optimizer = MuonWithAdamW(self.unet)
        self.noise_scheduler = DDPMScheduler.from_pretrained(WEIGHTS / "scheduler")
        self.null_ids_L = self.pool.tokenize([""])[0]

    def loss(self, generator: torch.Generator) -> Tensor:
        """Mean squared error of the v-prediction over one batch; timesteps favour the middle, where shapes form."""
        settings = self.settings
        latents_BCHW, ids_BL = self.pool.draw(settings.batch, generator)
        drawn: dict[str, Any] = {"generator": generator, "device": self.device}
        noise_BCHW = torch.randn(latents_BCHW.shape, **drawn)
        timesteps_B = (torch.randn(settings.batch, **drawn) * 1.1 + 0.2).sigmoid().mul(1000).long()
        dropped_B = torch.rand(settings.batch, **drawn) < settings.drop_text
        ids_BL = torch.where(dropped_B[:, None], self.null_ids_L, ids_BL)
        with torch.no_grad(), reduced_precision(self.device):
            hidden_BLD = self.text_encoder(input_ids=ids_BL).last_hidden_state
        noisy_BCHW = self.noise_scheduler.add_noise(latents_BCHW, noise_BCHW, timesteps_B)
        target_BCHW = self.noise_scheduler.get_velocity(latents_BCHW, noise_BCHW, timesteps_B)
        with reduced_precision(self.device):
            predicted_BCHW = self.predict(
                noisy_BCHW.contiguous(memory_format=torch.channels_last),
                timesteps_B,
                hidden_BLD,
                added_cond_kwargs={},
            ).sample
        return F.mse_loss(predicted_BCHW.float(), target_BCHW)

    def advance(self, learning_rate: float) -> Tensor:
        """Take one optimizer step and return its loss, which nothing has waited for."""
        generator = torch.Generator(self.device).manual_seed(self.settings.seed * 1_000_003 + self.step)
        loss = self.loss(generator)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.optimizer.step(learning_rate)
        self.step += 1
        decay = min(self.settings.max_average_decay, 1 - 1 / (1 + self.settings.average_over * self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.unet.parameters()), 1 - decay)
        return loss.detach()

    def learning_rates(self, num_steps: int, cool_down: int) -> Iterator[float]:
        """Constant after the warm-up; falling linearly to zero over the last `cool_down` steps.

        With a time limit, over the last half of the time.
        """
        started, seconds = time.monotonic(), self.settings.seconds
        for done in range(num_steps):
            warm = min(1.0, (self.step + 1) / self.settings.warm_up, (done + 1) / 50)
            cool = min(1.0, (num_steps - done) / cool_down) if cool_down else 1.0
            if seconds is not None:
                cool = min(cool, 2 * (1 - (time.monotonic() - started) / seconds))
            if cool <= 0:
                break
            yield self.settings.learning_rate * warm * cool

    def run(self, num_steps: int, cool_down: int) -> None:
        """Train for `num_steps`, logging and saving on the way and at the end."""
        self.pool.grow(max(0, self.settings.pool_start - len(self.pool)))
        settings, mean, started, first = self.settings, torch.zeros(()), time.monotonic(), self.step
        for learning_rate in self.learning_rates(num_steps, cool_down):
            self._grow_pool()
            loss = self.advance(learning_rate)
            mean = loss if self.step == first + 1 else mean.lerp(loss, 0.02)
            if self.step % settings.log_every == 0:
                seconds = time.monotonic() - started
                rate = (self.step - first) * settings.batch / seconds
                print(
                    f"step {self.step} samples {self.step * settings.batch} loss {mean.item():.4f} "
                    f"{rate:.0f} samples/s pool {len(self.pool)} {seconds:.0f}s",
                    flush=True,
                )
            if self.step % settings.save_every == 0:
                self.save()
            if self.stopping:
                break
        self.save()

    def _grow_pool(self) -> None:
        settings = self.settings
        wanted = min(settings.pool_max, self.step * settings.batch / settings.samples_per_picture)
        if len(self.pool) + settings.pool_step <= wanted and self.step % 64 == 0:
            self.pool.grow(settings.pool_step)

    def save(self) -> None:
        """Write the averaged UNet as a diffusers folder in fp16, and everything a later run continues from."""
        copy.deepcopy(self.average).half().save_pretrained(self.folder / "unet")
        state = {
            "step": self.step,
            "unet": self.unet.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, self.folder / "state.tmp")
        os.replace(self.folder / "state.tmp", self.folder / "state.pt")

    def resume(self) -> None:
        """Continue from the folder's own state, else from the shipped weights where they have this shape."""
        if (self.folder / "state.pt").exists():
            state = torch.load(self.folder / "state.pt", map_location=self.device)
            self.step = state["step"]
            self.unet.load_state_dict(state["unet"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
        elif (WEIGHTS / "unet").exists():
            shipped = UNet2DConditionModel.from_pretrained(WEIGHTS / "unet")
            if shipped.config.addition_embed_type == UNET_CONFIG["addition_embed_type"]:
                self.unet.load_state_dict(shipped.state_dict())
                self.average.load_state_dict(shipped.state_dict())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--icons", type=Path, required=True, help="sprites written by textinv.demo.icons.save_sprites")
    parser.add_argument("--out", type=Path, required=True, help="folder for the state and the trained UNet")
    parser.add_argument("--samples", type=int, default=1_000_000, help="samples to train in this run")
    parser.add_argument("--cool-down", type=int, default=0, help="samples at the end with a falling learning rate")
    parser.add_argument("--seconds", type=float, help="time limit; the learning rate falls over its last half")
    parser.add_argument("--composers", type=int, default=0, help="processes that compose pictures ahead, for a GPU")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = replace(ON_GPU if device.type == "cuda" else Settings(), seconds=arguments.seconds)
    vae = AutoencoderKL.from_pretrained(WEIGHTS / "vae").eval().requires_grad_(False).to(device)
    pool = LatentPool(
        Composer(unet_worlds(load_sprites(arguments.icons)), settings.seed, arguments.composers),
        vae.to(memory_format=torch.channels_last),
        CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer"),
    )
    text_encoder = CLIPTextModel.from_pretrained(WEIGHTS / "text_encoder", dtype=torch.float32)
    arguments.out.mkdir(parents=True, exist_ok=True)
    training = UNetTraining(arguments.out, pool, text_encoder.eval().requires_grad_(False).to(device), settings, device)
    training.resume()
    signal.signal(signal.SIGTERM, training.stop)
    training.run(arguments.samples // settings.batch, arguments.cool_down // settings.batch)


if __name__ == "__main__":
    main()
