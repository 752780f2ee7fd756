"""Train the VAE of the demo base: pictures to latents of a quarter of their side, and back.

At a compression of 8 such small pictures are not learned in hours; at 4 they are crisp in minutes, and small batches
(4 to 8) learn twice as much per picture as larger ones. At the end the latents are whitened: each channel has mean 0
and standard deviation 1, so the scaling factor is 1. `--decoder-only` trains the decoder on against latents that do not
change, which is the only thing allowed once a UNet is trained, and worth its time: small things become sharp by it, and
a picture's parts can only be told when they are. Resumable.

    python -m textinv.demo.making.train_vae --icons ICONS.npz --out FOLDER [--from FOLDER --decoder-only] [--samples N]

Legend: B pictures, C channels, H W size.
"""

import argparse
import math
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from textinv.demo.icons import load_sprites
from textinv.demo.making.composing import Composer
from textinv.demo.making.drawing import Pixels, from_uint8
from textinv.demo.making.optimizers import MuonWithAdamW
from textinv.demo.making.precision import reduced_precision
from textinv.demo.making.train_clip import clip_worlds
from textinv.demo.world import World

VAE_CONFIG: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "block_out_channels": (24, 48, 96),
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 1,
    "sample_size": 64,
    "scaling_factor": 1.0,
}


@dataclass(frozen=True)
class Settings:
    """What one run of the training does."""

    samples: int = 200_000
    batch: int = 8
    learning_rate: float = 2e-3
    warm_up: int = 100
    kl_weight: float = 2e-6
    """More makes latents smoother and pictures softer; channels collapse above about 1e-5."""
    decoder_only: bool = False
    latent_noise: float = 0.0
    """Largest standard deviation of noise on latents (of 1) that the decoder is shown: a UNet's are not exact."""
    whitening_batches: int = 64
    save_every: int = 500
    seed: int = 5
    seconds: float | None = None
    """A time limit of the run, where that ends it sooner."""


DECODER = Settings(samples=100_000, learning_rate=1e-3, decoder_only=True, latent_noise=0.12)
"""Half of what it is shown is of the UNet's world, and half of that are two small things."""


@dataclass
class VaeTraining:
    """The state of one training run, and its step; every batch is a function of (seed, step)."""

    folder: Path
    vae: AutoencoderKL
    worlds: tuple[World, ...]
    """Pictures are of these in turn."""
    settings: Settings
    num_composers: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    step: int = 0

    def __post_init__(self) -> None:
        self.composer = Composer(self.worlds, self.settings.seed, self.num_composers)
        self.vae.float().train()
        if self.settings.decoder_only:
            self.vae.encoder.requires_grad_(False)
            self.vae.quant_conv.requires_grad_(False)
        self.optimizer = MuonWithAdamW(self.vae.to(self.device, memory_format=torch.channels_last))

    @property
    def num_steps(self) -> int:
        """Steps of the whole run."""
        return self.settings.samples // self.settings.batch

    def pixels(self, pixels_BHWC: Pixels) -> Tensor:
        """Composed pictures as `(B, 3, H, W)` on the device."""
        return from_uint8(pixels_BHWC).to(self.device).contiguous(memory_format=torch.channels_last)

    def loss(self, pixels_BCHW: Tensor) -> Tensor:
        """Absolute error of values and of their differences to neighbours, which keeps outlines sharp; a weak KL."""
        posterior = self.vae.encode(pixels_BCHW).latent_dist
        latents_BCHW = posterior.sample()
        deviations_B = self.settings.latent_noise * torch.rand(len(latents_BCHW), device=self.device).square()
        latents_BCHW = latents_BCHW + deviations_B[:, None, None, None] * torch.randn_like(latents_BCHW)
        with reduced_precision(latents_BCHW.device):
            decoded_BCHW = self.vae.decode(latents_BCHW).sample
        error = decoded_BCHW.float() - pixels_BCHW
        loss = error.abs().mean() + 0.5 * error.diff(dim=-1).abs().mean() + 0.5 * error.diff(dim=-2).abs().mean()
        if not self.settings.decoder_only:
            loss = loss + self.settings.kl_weight * posterior.kl().mean()
        return torch.as_tensor(loss)

    def advance(self, pixels_BCHW: Tensor, done: float) -> Tensor:
        """Take one optimizer step and return its loss; `done` is the share of the run that has passed."""
        settings = self.settings
        falling = (1 + math.cos(math.pi * done)) / 2
        loss = self.loss(pixels_BCHW)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.vae.parameters(), 1.0)
        self.optimizer.step(settings.learning_rate * min(1.0, (self.step + 1) / settings.warm_up) * falling)
        self.step += 1
        return loss.detach()

    def run(self) -> None:
        """Train to the end, then whiten the latents unless they must not change."""
        started, first, mean = time.monotonic(), self.step, torch.zeros(())
        for pixels_BHWC, _ in self.composer.batches(self.settings.batch, self.step):
            done = self.step / self.num_steps
            if self.settings.seconds is not None:
                done = max(done, (time.monotonic() - started) / self.settings.seconds)
            if done >= 1:
                break
            loss = self.advance(self.pixels(pixels_BHWC), done)
            mean = loss if self.step == first + 1 else mean.lerp(loss, 0.01)
            if self.step % self.settings.save_every == 0:
                self.save()
                print(
                    f"step {self.step}/{self.num_steps} loss {mean.item():.4f} {time.monotonic() - started:.0f}s",
                    flush=True,
                )
        self.save()
        if not self.settings.decoder_only:
            unseen = range(-self.settings.whitening_batches, 0)
            batches = [self.composer.batch(index, self.settings.batch)[0] for index in unseen]
            whiten(self.vae, torch.cat([self.pixels(pixels_BHWC) for pixels_BHWC in batches]))
        self.vae.half().save_pretrained(self.folder / "vae")

    def save(self) -> None:
        """Write everything that a later run continues from."""
        state = {"step": self.step, "vae": self.vae.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state, self.folder / "vae.tmp")
        os.replace(self.folder / "vae.tmp", self.folder / "vae.pt")

    def resume(self) -> None:
        """Continue from the folder's own state, if it has one."""
        if (self.folder / "vae.pt").exists():
            state = torch.load(self.folder / "vae.pt", map_location=self.device)
            self.step = state["step"]
            self.vae.load_state_dict(state["vae"])
            self.optimizer.load_state_dict(state["optimizer"])


@torch.no_grad()
def whiten(vae: AutoencoderKL, pixels_BCHW: Tensor) -> None:
    """Fold each latent channel's mean and scale into the 1x1 convolutions beside it; reconstructions stay the same."""
    vae.eval()
    latents_BCHW = torch.cat([vae.encode(batch).latent_dist.mean for batch in torch.split(pixels_BCHW, 64)])
    mean_C, std_C = latents_BCHW.mean((0, 2, 3)), latents_BCHW.std((0, 2, 3))
    channels = len(mean_C)
    before, after = vae.quant_conv, vae.post_quant_conv
    before.weight[:channels] /= std_C[:, None, None, None]
    before.bias[:channels] = (before.bias[:channels] - mean_C) / std_C
    before.bias[channels:] -= 2 * std_C.log()  # the posterior's log-variance shrinks with it
    after.bias += after.weight[:, :, 0, 0] @ mean_C
    after.weight *= std_C[None, :, None, None]


def train_vae(icons: Path, out: Path, start: Path | None, settings: Settings, num_composers: int = 0) -> None:
    """Train a VAE into `out/vae`, from new or from the VAE folder `start`."""
    torch.manual_seed(settings.seed)
    narrow, wide = clip_worlds(load_sprites(icons))
    worlds: tuple[World, ...] = (wide,)
    if settings.decoder_only:
        worlds = tuple(replace(world, odds=replace(world.odds, two=0.5)) for world in (narrow, wide))
    vae = AutoencoderKL.from_pretrained(start) if start else AutoencoderKL(**VAE_CONFIG)
    out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training = VaeTraining(out, vae, worlds, settings, num_composers, device)
    training.resume()
    training.run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--icons", type=Path, required=True, help="sprites written by textinv.demo.icons.save_sprites")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--from", dest="start", type=Path, help="continue from this VAE folder")
    parser.add_argument("--decoder-only", action="store_true", help="leave the latents as they are")
    parser.add_argument("--samples", type=int, help="pictures to train with, instead of the usual number")
    parser.add_argument("--seconds", type=float, help="time limit")
    parser.add_argument("--batch", type=int, help="pictures per step, instead of the usual number")
    parser.add_argument("--composers", type=int, default=0, help="processes that compose pictures ahead, for a GPU")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    settings = DECODER if arguments.decoder_only else Settings()
    asked = {name: value for name in ("samples", "batch", "seconds") if (value := getattr(arguments, name)) is not None}
    train_vae(arguments.icons, arguments.out, arguments.start, replace(settings, **asked), arguments.composers)


if __name__ == "__main__":
    main()
