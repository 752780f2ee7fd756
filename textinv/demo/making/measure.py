"""Measure a demo base: the figures of its model card, and a sheet of 64 prompts.

Writes `measured.json` (what the model card is made from) and `prompts.png`. Does not know what is good enough.

    python -m textinv.demo.making.measure --weights FOLDER [--unet FOLDER] --out FOLDER [--fast]
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from textinv.demo import WEIGHTS
from textinv.demo.making.component_figures import clip_top1, vae_psnr
from textinv.demo.making.drawing import DemoBase, Pixels, load_demo_base
from textinv.demo.making.drawing_figures import FIGURES, hue_is_right, real_pictures, sheet_prompts
from textinv.demo.sheet import picture_grid

STEPS, GUIDANCE = 25, 4.0
BATCH = 16


def draw_all(base: DemoBase, prompts: Sequence[str], seed: int) -> Pixels:
    """Draw one picture per prompt, `BATCH` at a time."""
    batches = [
        base.draw(prompts[start : start + BATCH], seed=seed + start, num_inference_steps=STEPS, guidance_scale=GUIDANCE)
        for start in range(0, len(prompts), BATCH)
    ]
    return np.concatenate(batches)


def drawing_figures(base: DemoBase, share: float, seed: int) -> dict[str, dict[str, float]]:
    """Each figure over `share` of its questions.

    Of drawn pictures, of the world's own as the ceiling, and of those as the VAE gives them back: no UNet does better.
    """
    figures = {}
    for name, (ask, rule, num) in FIGURES.items():
        questions = ask(max(1, round(num * share)))
        real = real_pictures(questions)
        parts = np.array_split(real, len(real) // BATCH + 1)
        pictures = {
            "drawn": draw_all(base, [question.prompt for question in questions], seed),
            "decoded": np.concatenate([base.reconstruct(part) for part in parts]),
            "real": real,
        }
        rules = {name: rule} | ({"hue by pixels": hue_is_right} if name == "hue" else {})
        for figure, right in rules.items():
            shares = {kind: float(right(base, shown, questions).mean()) for kind, shown in pictures.items()}
            figures[figure] = shares | {"questions": len(questions)}
            print(figure, figures[figure], flush=True)
    return figures


def measure(base: DemoBase, out: Path, *, fast: bool, seed: int = 0) -> dict[str, Any]:
    """Measure everything a base has; one without a UNet gives the figures of its CLIP and VAE alone."""
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    figures: dict[str, Any] = {
        "clip top-1 of 128": clip_top1(base, 2 if fast else 16),
        "vae psnr dB": vae_psnr(base, 64 if fast else 512),
    }
    print(figures, flush=True)
    if base.unet is not None:
        figures["drawing"] = drawing_figures(base, 0.5 if fast else 1.0, seed)
        prompts = sheet_prompts()
        pictures = [Image.fromarray(pixels) for pixels in draw_all(base, prompts, seed)]
        picture_grid(list(zip(pictures, prompts, strict=True)), 8).save(out / "prompts.png")
    figures |= {"inference steps": STEPS, "guidance": GUIDANCE, "seed": seed, "fast": fast}
    figures["seconds"] = round(time.monotonic() - started)
    (out / "measured.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="the base's folder")
    parser.add_argument("--unet", type=Path, help="take the UNet from this folder instead")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fast", action="store_true", help="half the questions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    measure(load_demo_base(arguments.weights, arguments.unet), arguments.out, fast=arguments.fast, seed=arguments.seed)


if __name__ == "__main__":
    main()
