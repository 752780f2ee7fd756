"""How many of all objects a demo base draws, of those that are not held out: the figure for the wide world.

Owns the question put to every object, and the rule, which is that of the 75 in `drawing_figures` with more
alternatives: the base's own CLIP has to find the object's name to fit best among the names of all. What it says of
real pictures, as they are and as the VAE gives them back, is the ceiling. Needs sprites that do not ship.

    python -m textinv.demo.making.all_objects --icons ICONS.npz [--weights FOLDER] [--unet FOLDER] [--each-nth N]
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from textinv.demo import WEIGHTS
from textinv.demo.icons import OBJECTS, Sprites, load_sprites
from textinv.demo.making.drawing import DemoBase, Pixels, load_demo_base, stack
from textinv.demo.making.drawing_figures import words
from textinv.demo.making.measure import BATCH, draw_all
from textinv.demo.making.train_clip import clip_worlds
from textinv.demo.world import Scene, Thing, a, draw


def named_right(base: DemoBase, pixels: Pixels, asked: Sequence[str], objects: Sequence[str]) -> NDArray[np.bool_]:
    """Whether the CLIP takes each picture for the asked one among `objects`."""
    texts = [a(words(name)) for name in objects]
    texts_KD = torch.cat([base.text_features(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)])
    pictures_BD = torch.cat([base.image_features(part) for part in np.array_split(pixels, len(pixels) // BATCH + 1)])
    chosen = (pictures_BD @ texts_KD.T).argmax(1).tolist()
    return np.array([objects[place] == name for place, name in zip(chosen, asked, strict=True)])


def all_object_figures(base: DemoBase, sprites: Sprites, each_nth: int = 1, seed: int = 0) -> Mapping[str, float]:
    """Share of right pictures, of every n-th object: drawn (also of the 75 alone and of the rest), real and decoded."""
    world = clip_worlds(sprites)[1]
    asked = world.objects[::each_nth]
    styles = [next(style for style in world.styles if (style, name) in sprites) for name in asked]
    real = stack([draw(Scene((Thing(*key),)), sprites) for key in zip(asked, styles, strict=True)])
    parts = np.array_split(real, len(real) // BATCH + 1)
    pictures = {"real": real, "decoded": np.concatenate([base.reconstruct(part) for part in parts])}
    if base.unet is not None:
        pictures["drawn"] = draw_all(base, [a(words(name)) for name in asked], seed)
    right = {kind: named_right(base, pixels, asked, world.objects) for kind, pixels in pictures.items()}
    if "drawn" in right:
        measured = np.array([name in OBJECTS for name in asked])
        right |= {"drawn, of the 75": right["drawn"][measured], "drawn, of the rest": right["drawn"][~measured]}
    return {"objects": len(asked)} | {kind: float(each.mean()) for kind, each in right.items() if len(each)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--icons", type=Path, required=True, help="sprites written by textinv.demo.icons.save_sprites")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="the base's folder")
    parser.add_argument("--unet", type=Path, help="take the UNet from this folder instead")
    parser.add_argument("--each-nth", type=int, default=1, help="ask for every n-th object only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sprites, base = load_sprites(arguments.icons), load_demo_base(arguments.weights, arguments.unet)
    print(json.dumps(all_object_figures(base, sprites, arguments.each_nth), indent=2))


if __name__ == "__main__":
    main()
