"""Make the whole demo base from the icon packages: every step in order, each with a fixed seed.

A step that has left its result is not done again; an interrupted training continues from its state. A step can be run
alone. The result is `FOLDER/weights`; nothing of the package is overwritten.

    python -m textinv.demo.making.build --out FOLDER [--only STEP ...] [--packages FOLDER] [--tiny]
"""

import argparse
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from textinv.demo import WEIGHTS
from textinv.demo.concepts import TIERS, concepts_of
from textinv.demo.icons import load_sprites
from textinv.demo.making import train_judge, train_unet, train_vae
from textinv.demo.making.card import CARD_NAME, model_card
from textinv.demo.making.composing import Composer
from textinv.demo.making.drawing import load_demo_base
from textinv.demo.making.measure import measure
from textinv.demo.making.pool import LatentPool
from textinv.demo.making.rendering import PACKAGES, drawable_objects, render_packages, save_sprites, shipped_subset
from textinv.demo.making.tiers import prove
from textinv.demo.making.train_clip import clip_worlds, train_clip
from textinv.demo.making.train_tokenizer import caption_corpus, train_tokenizer
from textinv.evaluation.classifier import load_classifier
from textinv.evaluation.prompts import FILE as PROMPTS
from textinv.models import load_base_model

NOISE_SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


@dataclass(frozen=True)
class Sizes:
    """How much each step does."""

    captions: int = 30_000
    clip_pairs: int = 300_000
    vae: train_vae.Settings = field(default_factory=train_vae.Settings)
    decoder: train_vae.Settings = train_vae.DECODER
    unet_samples: int = 3_000_000
    unet_cool_down: int = 300_000
    unet: train_unet.Settings = field(default_factory=train_unet.Settings)
    judge: train_judge.Settings = field(default_factory=train_judge.Settings)
    fast_measure: bool = False
    concepts_per_tier: int = 12


TINY = Sizes(
    captions=200,
    clip_pairs=128,
    vae=train_vae.Settings(samples=16, whitening_batches=2),
    decoder=replace(train_vae.DECODER, samples=16),
    unet_samples=16,
    unet_cool_down=0,
    unet=train_unet.Settings(batch=8, pool_start=16, pool_step=8),
    judge=train_judge.Settings(samples=128, accuracy_pictures=64),
    fast_measure=True,
    concepts_per_tier=1,
)
"""Shows that every step runs; the result draws nothing."""


@dataclass(frozen=True)
class Workshop:
    """Where a base is made, and how large."""

    folder: Path
    packages: Path
    """Holds an unpacked folder per icon package, or is empty and will."""
    sizes: Sizes = Sizes()
    num_composers: int = 0
    """Processes that compose pictures ahead of the trainings of VAE and UNet."""

    @property
    def icons(self) -> Path:
        """All sprites that the CLIP and the VAE learn from."""
        return self.folder / "icons.npz"

    @property
    def state(self) -> Path:
        """States and results of the trainings."""
        return self.folder / "state"

    @property
    def weights(self) -> Path:
        """The finished base."""
        return self.folder / "weights"

    def tokenizer(self) -> CLIPTokenizer:
        """The tokenizer that was made here."""
        return CLIPTokenizer.from_pretrained(self.state / "tokenizer")


def fetch_packages(shop: Workshop) -> None:
    """Fetch the icon packages with npm and unpack them."""
    there = {json.loads(path.read_text())["prefix"] for path in shop.packages.rglob("icons.json")}
    for package, version in PACKAGES.items():
        if package not in there:
            target = shop.packages / package
            target.mkdir(parents=True, exist_ok=True)
            command = [
                "npm",
                "pack",
                "--silent",
                f"@iconify-json/{package}@{version}",
                "--pack-destination",
                str(target),
            ]
            name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
            with tarfile.open(target / name) as archive:
                archive.extractall(target, filter="data")


def render(shop: Workshop) -> None:
    """Render every object that the trainings use, and the sprites that ship with the package."""
    folders = sorted(path.parent for path in shop.packages.rglob("icons.json"))
    sprites = dict(render_packages(folders, drawable_objects(folders)))
    save_sprites(shipped_subset(sprites), shop.folder / "sprites.npz")
    save_sprites(sprites, shop.icons)


def make_tokenizer(shop: Workshop) -> None:
    """Learn the vocabulary from captions."""
    _, wide = clip_worlds(load_sprites(shop.icons))
    train_tokenizer(caption_corpus(wide, shop.sizes.captions, seed=3)).save_pretrained(shop.state / "tokenizer")


def make_clip(shop: Workshop) -> None:
    """Train the CLIP; its text tower is the base's text encoder."""
    train_clip(shop.icons, shop.state, shop.tokenizer(), shop.sizes.clip_pairs)
    CLIPTextModel.from_pretrained(shop.state / "clip").half().save_pretrained(shop.state / "text_encoder")


def make_vae(shop: Workshop) -> None:
    """Train the VAE."""
    train_vae.train_vae(shop.icons, shop.state, None, shop.sizes.vae, shop.num_composers)


def refine_decoder(shop: Workshop) -> None:
    """Train the VAE's decoder on; latents stay what they are."""
    out, start = shop.state / "decoder", shop.state / "vae"
    train_vae.train_vae(shop.icons, out, start, shop.sizes.decoder, shop.num_composers)


def make_unet(shop: Workshop) -> None:
    """Train the UNet on the latents of this VAE and the text of this CLIP."""
    sizes, device = shop.sizes, torch.device("cuda" if torch.cuda.is_available() else "cpu")
    vae = AutoencoderKL.from_pretrained(shop.state / "vae").float().eval().requires_grad_(False)
    text_encoder = CLIPTextModel.from_pretrained(shop.state / "text_encoder").float().eval().requires_grad_(False)
    composer = Composer(train_unet.unet_worlds(load_sprites(shop.icons)), sizes.unet.seed, shop.num_composers)
    pool = LatentPool(composer, vae.to(device, memory_format=torch.channels_last), shop.tokenizer())
    training = train_unet.UNetTraining(shop.state, pool, text_encoder.to(device), sizes.unet, device)
    if (shop.state / "state.pt").exists():
        training.resume()
    steps = sizes.unet_samples // sizes.unet.batch - training.step
    training.run(max(0, steps), sizes.unet_cool_down // sizes.unet.batch)


def make_judge(shop: Workshop) -> None:
    """Train the judge."""
    train_judge.train_judge(shop.state, shop.sizes.judge)


def assemble(shop: Workshop) -> None:
    """Put the parts together as a diffusers folder, with the CLIP, the judge and the evaluation prompts beside them."""
    StableDiffusionPipeline(
        AutoencoderKL.from_pretrained(shop.state / "decoder" / "vae").half(),
        CLIPTextModel.from_pretrained(shop.state / "text_encoder").half(),
        shop.tokenizer(),
        UNet2DConditionModel.from_pretrained(shop.state / "unet").half(),
        DDIMScheduler(**NOISE_SCHEDULE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(shop.weights)
    for part in ("clip", "judge"):
        shutil.copytree(shop.state / part, shop.weights / part, dirs_exist_ok=True)
    shutil.copy(WEIGHTS / PROMPTS, shop.weights / PROMPTS)
    for part in ("clip", "text_encoder"):
        load_in_float32(shop.weights / part)


def load_in_float32(folder: Path) -> None:
    """Make transformers load fp16 weights in float32 when no dtype is asked for, as diffusers does with its own."""
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"dtype": "float16"', '"dtype": "float32"'))


def measure_base(shop: Workshop) -> None:
    """Measure the base."""
    measure(load_demo_base(shop.weights), shop.folder / "measured", fast=shop.sizes.fast_measure)


def teach_tiers(shop: Workshop) -> None:
    """Teach the base what it has never seen, and compare."""
    name = str(shop.weights.absolute())
    concepts = [concept for tier in TIERS for concept in concepts_of(tier)[: shop.sizes.concepts_per_tier]]
    judge = load_classifier(shop.weights / "judge")
    prove(load_base_model(name), judge, concepts, name, "balanced", shop.folder / "tiers")


def write_card(shop: Workshop) -> None:
    """Write the model card."""
    measured, tiers = (
        json.loads((shop.folder / path).read_text()) for path in ("measured/measured.json", "tiers/tiers.json")
    )
    (shop.weights / CARD_NAME).write_text(model_card(shop.weights, measured, tiers))


STEPS: Mapping[str, tuple[Callable[[Workshop], None], str]] = {
    "packages": (fetch_packages, ""),
    "sprites": (render, "icons.npz"),
    "tokenizer": (make_tokenizer, "state/tokenizer"),
    "clip": (make_clip, "state/text_encoder"),
    "vae": (make_vae, "state/vae"),
    "decoder": (refine_decoder, "state/decoder/vae"),
    "unet": (make_unet, ""),
    "judge": (make_judge, "state/judge/accuracy.json"),
    "assemble": (assemble, ""),
    "measure": (measure_base, "measured/measured.json"),
    "tiers": (teach_tiers, "tiers/tiers.json"),
    "card": (write_card, ""),
}
"""Step -> what it does, and the result (within the folder) that shows it has been done; empty: it finds out itself."""


def build(shop: Workshop, only: tuple[str, ...] = ()) -> None:
    """Take every step that is still to be taken, or those of `only` whether they have been taken or not."""
    shop.state.mkdir(parents=True, exist_ok=True)
    for name in only or STEPS:
        step, result = STEPS[name]
        if not only and result and (shop.folder / result).exists():
            print(f"{name}: done before", flush=True)
            continue
        print(f"{name}: {(step.__doc__ or '').strip()}", flush=True)
        step(shop)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/demo-model"))
    parser.add_argument("--only", action="append", choices=list(STEPS), default=[], help="take only this step")
    parser.add_argument("--packages", type=Path, help="folder of unpacked icon packages, instead of the registry's")
    parser.add_argument("--tiny", action="store_true", help="only show that every step runs")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    packages = arguments.packages or arguments.out / "packages"
    on_gpu = torch.cuda.is_available()
    sizes = TINY if arguments.tiny else Sizes(unet=train_unet.ON_GPU) if on_gpu else Sizes()
    composers = max(1, (os.cpu_count() or 2) - 2) if on_gpu else 0
    build(Workshop(arguments.out, packages, sizes, composers), tuple(arguments.only))


if __name__ == "__main__":
    main()
