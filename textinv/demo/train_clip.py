"""Train the CLIP of the demo base: text and image towers contrastively, or the image tower against a frozen text tower.

The UNet listens to the text tower, so once a UNet is trained only `--freeze-text` may be used. Resumable: a run
continues from the state in its folder.

    python -m textinv.demo.train_clip --icons ICONS.npz --out FOLDER [--from FOLDER --freeze-text] [--samples N]

Legend: B pairs, L tokens, D width.
"""

import argparse
import math
import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from textinv.demo import WEIGHTS
from textinv.demo.component_figures import same_captions
from textinv.demo.drawing import from_uint8, stack
from textinv.demo.icons import HELD_OUT_OBJECTS, OBJECTS, STYLE_WORDS, UNET_STYLES, Sprites, load_sprites
from textinv.demo.world import World, draw

WIDTH = 192
ALL_EFFECTS = ("pixel art", "sketch", "silhouette", "neon", "watercolor", "duotone")


@dataclass(frozen=True)
class Settings:
    """What one run of the training does."""

    samples: int = 160_000
    batch: int = 128
    learning_rate: float = 1e-3
    warm_up: int = 100
    freeze_text: bool = False
    narrow_share: float = 0.6
    """Share of pairs from the UNet's own world; the others show every object and effect in every style."""
    save_every: int = 100
    seed: int = 3


def new_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """An untrained CLIP with four layers in each tower."""
    shape = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": 4, "num_attention_heads": 6}
    text = CLIPTextConfig(
        **shape,
        vocab_size=len(tokenizer),
        max_position_embeddings=tokenizer.model_max_length,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = CLIPVisionConfig(**shape, image_size=64, patch_size=8, projection_dim=WIDTH)
    return CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=WIDTH))


def training_worlds(sprites: Sprites) -> tuple[World, World]:
    """The UNet's world, and the wide one; neither holds a held-out object."""
    objects = sorted({name for style, name in sprites if style in STYLE_WORDS} - set(HELD_OUT_OBJECTS))
    return World(sprites, OBJECTS, UNET_STYLES), World(sprites, objects, tuple(STYLE_WORDS), ALL_EFFECTS)


@dataclass
class ClipTraining:
    """The state of one training run, and its step; every batch is a function of (seed, step)."""

    folder: Path
    clip: CLIPModel
    tokenizer: CLIPTokenizer
    worlds: tuple[World, World]
    settings: Settings
    step: int = 0
    top1: float = field(default=0.0, init=False)
    """Running share of right captions among the batch."""

    def __post_init__(self) -> None:
        self.clip.float().train()
        self.clip.text_model.requires_grad_(not self.settings.freeze_text)
        trained = [parameter for parameter in self.clip.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, betas=(0.9, 0.98), weight_decay=0.05)

    @property
    def num_steps(self) -> int:
        """Steps of the whole run."""
        return self.settings.samples // self.settings.batch

    def pairs(self) -> tuple[Tensor, list[str]]:
        """Pictures `(B, 3, H, W)` and captions of this step."""
        settings, rng = self.settings, random.Random(f"{self.settings.seed}/{self.step}")
        scenes = []
        for _ in range(settings.batch):
            world = self.worlds[rng.random() >= settings.narrow_share]
            scene, caption = world.sample(rng)
            scenes.append((draw(scene, world.sprites), caption))
        return from_uint8(stack([picture for picture, _ in scenes])), [caption for _, caption in scenes]

    def loss(self, pixels_BCHW: Tensor, captions: list[str]) -> Tensor:
        """Symmetric contrastive loss; equal captions do not compete."""
        ids_BL = self.tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        with torch.autocast("cpu", torch.bfloat16):
            logits_BB = self.clip(input_ids=ids_BL, pixel_values=pixels_BCHW).logits_per_image.float()
        own = torch.arange(len(captions))
        others = same_captions(captions) & ~torch.eye(len(captions), dtype=torch.bool)
        logits_BB = logits_BB.masked_fill(others, -1e4)
        self.top1 = 0.95 * self.top1 + 0.05 * (logits_BB.argmax(1) == own).float().mean().item()
        return (F.cross_entropy(logits_BB, own) + F.cross_entropy(logits_BB.T, own)) / 2

    def advance(self) -> float:
        """Take one optimizer step and return its loss."""
        settings = self.settings
        falling = (1 + math.cos(math.pi * self.step / self.num_steps)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, (self.step + 1) / settings.warm_up) * falling
        loss = self.loss(*self.pairs())
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.clip.parameters(), 1.0)
        self.optimizer.step()
        self.clip.logit_scale.data.clamp_(max=math.log(100))
        self.step += 1
        return loss.item()

    def run(self) -> None:
        """Train to the end, logging and saving on the way."""
        started = time.monotonic()
        while self.step < self.num_steps:
            loss = self.advance()
            if self.step % 25 == 0:
                seconds = time.monotonic() - started
                print(
                    f"step {self.step}/{self.num_steps} loss {loss:.3f} top-1 {self.top1:.3f} {seconds:.0f}s",
                    flush=True,
                )
            if self.step % self.settings.save_every == 0:
                self.save()
        self.save()

    def save(self) -> None:
        """Write the CLIP in fp16 as `clip/`, and everything that a later run continues from."""
        state = {"step": self.step, "clip": self.clip.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state, self.folder / "clip.tmp")
        os.replace(self.folder / "clip.tmp", self.folder / "clip.pt")
        halved = CLIPModel(self.clip.config)
        halved.load_state_dict(self.clip.state_dict())
        halved.half().save_pretrained(self.folder / "clip")

    def resume(self) -> None:
        """Continue from the folder's own state, if it has one."""
        if (self.folder / "clip.pt").exists():
            state = torch.load(self.folder / "clip.pt")
            self.step = state["step"]
            self.clip.load_state_dict(state["clip"])
            self.optimizer.load_state_dict(state["optimizer"])


def train_clip(icons: Path, out: Path, tokenizer: CLIPTokenizer, start: Path | None, settings: Settings) -> None:
    """Train a CLIP into `out`, from new or from the CLIP folder `start`."""
    torch.manual_seed(settings.seed)
    clip = CLIPModel.from_pretrained(start) if start else new_clip(tokenizer)
    out.mkdir(parents=True, exist_ok=True)
    training = ClipTraining(out, clip, tokenizer, training_worlds(load_sprites(icons)), settings)
    training.resume()
    training.run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--icons", type=Path, required=True, help="sprites written by textinv.demo.icons.save_sprites")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, default=WEIGHTS / "tokenizer")
    parser.add_argument("--from", dest="start", type=Path, help="continue from this CLIP folder")
    parser.add_argument("--freeze-text", action="store_true")
    parser.add_argument("--samples", type=int, default=Settings.samples)
    parser.add_argument("--learning-rate", type=float, default=Settings.learning_rate)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = Settings(arguments.samples, learning_rate=arguments.learning_rate, freeze_text=arguments.freeze_text)
    tokenizer = CLIPTokenizer.from_pretrained(arguments.tokenizer)
    train_clip(arguments.icons, arguments.out, tokenizer, arguments.start, settings)


if __name__ == "__main__":
    main()
