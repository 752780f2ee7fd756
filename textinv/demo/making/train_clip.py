"""Train the CLIP of the demo base: a text encoder and an image encoder of one contrastive space.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision" (2103.00020), with one
term more: a picture of one thing is also told apart from the names of all objects, because captions that share a
batch seldom differ by the object alone.

`--keep-text` trains the image encoder and the projections against the text encoder as it is. A UNet that was trained
on that text encoder goes on working. Every batch is a function of (seed, step); a run continues from its own state.

    python -m textinv.demo.making.train_clip --icons ICONS.npz --out FOLDER [--start FOLDER --keep-text] [--pairs N]

Shape legend: B batch, L tokens, D projected width, K objects.
"""

import argparse
import copy
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from textinv.demo import WEIGHTS
from textinv.demo.icons import HELD_OUT_OBJECTS, OBJECTS, STYLE_WORDS, UNET_STYLES, Sprites, load_sprites
from textinv.demo.making.precision import reduced_precision
from textinv.demo.world import Odds, World, draw

WIDTH = 192
LAYERS = 4
WINDOW = 32


@dataclass(frozen=True)
class Settings:
    """What one run of the training does."""

    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warm_up: int = 100
    """Steps over which the learning rate rises; it then falls linearly to zero."""
    wide_share: float = 0.25
    """Share of pictures from all objects and styles; the rest is what the UNet draws."""
    name_weight: float = 1.0
    """Weight of telling an object from all other names."""
    seed: int = 0


def fresh_model(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Build an untrained CLIPModel for `tokenizer`."""
    shape = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 6,
    }
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=WINDOW,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **shape,
    )
    vision = CLIPVisionConfig(image_size=64, patch_size=8, projection_dim=WIDTH, **shape)
    return CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=WIDTH))


def clip_worlds(sprites: Sprites) -> tuple[World, World]:
    """The narrow world that the base is measured by, and the wide one of every object that is not held out."""
    wide = sorted({name for _, name in sprites} - set(HELD_OUT_OBJECTS))
    odds = Odds(tiny=0.0, effect=0.15)
    effects = ("pixel art", "sketch", "silhouette", "neon", "watercolor", "duotone")
    styles = [style for style in STYLE_WORDS if any(kind == style for kind, _ in sprites)]
    return World(sprites, OBJECTS, UNET_STYLES, odds=odds), World(sprites, wide, styles, effects, odds)


@dataclass
class CLIPTraining:
    """The state of one training run, and its losses."""

    folder: Path
    model: CLIPModel
    tokenizer: CLIPTokenizer
    worlds: tuple[World, World]
    settings: Settings
    names: Sequence[str] = tuple(name.replace("-", " ") for name in OBJECTS)
    step: int = 0

    def __post_init__(self) -> None:
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.trained,
            self.settings.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=self.settings.weight_decay,
            fused=True,
        )
        self.name_ids_KL = self.tokenize([f"a {name}" for name in self.names])

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        return torch.as_tensor(
            self.tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt").input_ids
        )

    def batch(self) -> tuple[Tensor, list[str], Tensor]:
        """Draw pictures `(B, 3, H, W)`, captions, and each picture's object among the names (-1: none or two)."""
        pixels, captions, objects = [], [], []
        narrow, wide = self.worlds
        rng = random.Random(f"{self.settings.seed}/{self.step}")
        for _ in range(self.settings.batch):
            world = wide if rng.random() < self.settings.wide_share else narrow
            scene, caption = world.sample(rng)
            pixels.append(np.asarray(draw(scene, world.sprites)))
            captions.append(caption)
            name = scene.things[0].object
            objects.append(OBJECTS.index(name) if len(scene.things) == 1 and name in OBJECTS else -1)
        pictures = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float().div(127.5).sub(1)
        return pictures, captions, torch.tensor(objects)

    def image_features(self, pictures: Tensor) -> Tensor:
        pooled = self.model.vision_model(pixel_values=pictures).pooler_output
        return normalize(self.model.visual_projection(pooled).float(), dim=-1)

    def text_features(self, ids_BL: Tensor) -> Tensor:
        pooled = self.model.text_model(input_ids=ids_BL).pooler_output
        return normalize(self.model.text_projection(pooled).float(), dim=-1)

    def loss(self) -> tuple[Tensor, float]:
        """The loss of one batch, and how often a picture finds its own caption among the batch."""
        pictures, captions, objects_B = self.batch()
        with reduced_precision(torch.device("cpu")):
            images_BD = self.image_features(pictures)
            texts_BD = self.text_features(self.tokenize(captions))
            names_KD = self.text_features(self.name_ids_KL)
        scale = self.model.logit_scale.exp()
        logits_BB = scale * images_BD @ texts_BD.T
        same = torch.tensor([[a == b for b in captions] for a in captions]) & ~torch.eye(
            len(captions), dtype=torch.bool
        )
        logits_BB = logits_BB.masked_fill(same, -1e4)
        own_B = torch.arange(len(captions))
        contrast = (cross_entropy(logits_BB, own_B) + cross_entropy(logits_BB.T, own_B)) / 2
        naming = cross_entropy(scale * images_BD @ names_KD.T, objects_B, ignore_index=-1)
        found = (logits_BB.argmax(1) == own_B).float().mean().item()
        return contrast + self.settings.name_weight * naming, found

    def advance(self, num_steps: int) -> tuple[float, float]:
        """Take one of `num_steps` optimizer steps; returns its loss, and how often a picture finds its caption."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            rise = min(1.0, (self.step + 1) / settings.warm_up)
            group["lr"] = settings.learning_rate * rise * (1 - self.step / num_steps)
        loss, found = self.loss()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.model.logit_scale.data.clamp_(max=float(np.log(100)))
        self.step += 1
        return loss.item(), found

    def run(self, num_steps: int) -> None:
        """Train up to step `num_steps`, logging and saving on the way."""
        started, mean_loss, mean_found, keep = time.monotonic(), 0.0, 0.0, 0.0
        while self.step < num_steps:
            loss, found = self.advance(num_steps)
            mean_loss = keep * mean_loss + (1 - keep) * loss
            mean_found = keep * mean_found + (1 - keep) * found
            keep = 0.97
            if self.step % 50 == 0:
                seconds = time.monotonic() - started
                print(f"step {self.step} loss {mean_loss:.3f} top-1 of 128 {mean_found:.3f} {seconds:.0f}s", flush=True)
            if self.step % 200 == 0:
                self.save()
        self.save()

    def save(self) -> None:
        """Write everything that a later run continues from, and the CLIPModel in fp16 as `clip/`."""
        state = {"step": self.step, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state, self.folder / "clip.tmp")
        os.replace(self.folder / "clip.tmp", self.folder / "clip.pt")
        copy.deepcopy(self.model).half().save_pretrained(self.folder / "clip")

    def resume(self) -> None:
        """Continue from the folder's own state, if it has one."""
        if (self.folder / "clip.pt").exists():
            state = torch.load(self.folder / "clip.pt")
            self.step = state["step"]
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])


def train_clip(
    icons: Path, out: Path, tokenizer: CLIPTokenizer, pairs: int, *, start: Path | None = None, keep_text: bool = False
) -> None:
    """Train a CLIPModel into `out/clip` on `pairs` pictures, from new or from the CLIPModel folder `start`."""
    settings = Settings()
    torch.manual_seed(settings.seed)
    model = CLIPModel.from_pretrained(start, dtype=torch.float32) if start else fresh_model(tokenizer)
    model.set_attn_implementation("eager")  # 1.8 x faster than SDPA in bf16 on CPUs, at these sizes
    model.text_model.requires_grad_(not keep_text)
    out.mkdir(parents=True, exist_ok=True)
    training = CLIPTraining(out, model.train(), tokenizer, clip_worlds(load_sprites(icons)), settings)
    training.resume()
    training.run(pairs // settings.batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--icons", type=Path, required=True, help="sprites written by textinv.demo.icons.save_sprites")
    parser.add_argument("--out", type=Path, required=True, help="folder for the state and the trained CLIPModel")
    parser.add_argument("--tokenizer", type=Path, default=WEIGHTS / "tokenizer")
    parser.add_argument("--start", type=Path, help="a CLIPModel folder to start from")
    parser.add_argument("--keep-text", action="store_true", help="leave the text encoder as it is")
    parser.add_argument("--pairs", type=int, default=150_000, help="pictures to train on")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    tokenizer = CLIPTokenizer.from_pretrained(arguments.tokenizer)
    train_clip(
        arguments.icons,
        arguments.out,
        tokenizer,
        arguments.pairs,
        start=arguments.start,
        keep_text=arguments.keep_text,
    )


if __name__ == "__main__":
    main()
