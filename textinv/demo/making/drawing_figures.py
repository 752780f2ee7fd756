"""Figures of what a demo base draws: objects, backgrounds, hues, two of a kind, two different things.

Owns the prompts of each figure and the rules by which a picture counts as right. Shapes and counts are judged by the
base's own CLIP, among alternatives; background colours by the pixels of the border; hues both ways. Every rule can be
put to real pictures of the world too, which gives the ceiling of the figure.

Legend: B pictures, K alternatives, D width.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from textinv.demo.artwork import demo_sprites
from textinv.demo.icons import OBJECTS, UNET_STYLES
from textinv.demo.making.drawing import DemoBase, Pixels
from textinv.demo.world import COLOURS, HUE_WORDS, PATTERNS, Scene, Thing, a, draw, hue_word, rotate_hue

HUES = tuple(dict(HUE_WORDS))
_FOREGROUND_DISTANCE = 60.0
"""Sum of absolute RGB differences from the background above which a pixel belongs to the thing."""


@dataclass(frozen=True)
class Question:
    """One prompt, the answer that is right, what else could be answered, and a real picture of it."""

    prompt: str
    right: str
    alternatives: tuple[str, ...]
    scene: Scene


Rule = Callable[[DemoBase, Pixels, Sequence[Question]], NDArray[np.bool_]]
"""Says of each picture whether it shows what its question asked for."""


def words(name: str) -> str:
    """An object's name as it stands in a caption."""
    return name.replace("-", " ")


def object_questions(num_each: int) -> list[Question]:
    """Every trained object, `num_each` times in changing wordings, against all others."""
    names = tuple(words(name) for name in OBJECTS)
    wordings = ("a {}", "a photo of a {}", "an emoji of a {}", "{}")
    return [
        Question(wordings[i % len(wordings)].replace("a {}", a(words(name))).format(words(name)), words(name), names,
                 Scene((Thing(name, UNET_STYLES[i % len(UNET_STYLES)]),)))
        for i in range(num_each)
        for name in OBJECTS
    ]  # fmt: skip


def background_questions(num: int) -> list[Question]:
    """Objects on each of the coloured backgrounds in turn."""
    rng, colours, questions = random.Random("background"), [name for name in COLOURS if name != "white"], []
    for i in range(num):
        name, colour = rng.choice(OBJECTS), colours[i % len(colours)]
        scene = Scene((Thing(name, "noto"),), colour)
        questions.append(Question(f"{a(words(name))} on {a(colour)} background", colour, tuple(COLOURS), scene))
    return questions


def hue_questions(num: int) -> list[Question]:
    """Objects that have one dominant hue, in each of the named hues in turn."""
    rng, questions = random.Random("hue"), []
    coloured = [name for name in OBJECTS if _turn_to("red", name) is not None]
    for i in range(num):
        hue, name = HUES[i % len(HUES)], rng.choice(coloured)
        scene = Scene((Thing(name, "noto", _turn_to(hue, name) or 0.0),))
        questions.append(Question(f"{a(hue)} {words(name)}", hue, HUES, scene))
    return questions


def two_questions(num: int) -> list[Question]:
    """Two of a kind, against one, and one beside something else."""
    rng, questions = random.Random("two"), []
    for _ in range(num):
        name, other = (words(found) for found in rng.sample(OBJECTS, 2))
        thing = Thing(name.replace(" ", "-"), "noto")
        alternatives = (f"two {name}", a(name), f"a large {name}", f"{a(name)} and {a(other)}")
        questions.append(Question(f"two {name}", f"two {name}", alternatives, Scene((thing, thing))))
    return questions


def pair_questions(num: int) -> list[Question]:
    """Two different things, each among all trained objects."""
    rng, questions, names = random.Random("pair"), [], tuple(words(name) for name in OBJECTS)
    for _ in range(num):
        first, second = rng.sample(OBJECTS, 2)
        prompt = f"{a(words(first))} and {a(words(second))}"
        questions.append(Question(prompt, words(first), names, Scene((Thing(first, "noto"), Thing(second, "noto")))))
    return questions


def chosen_by_clip(base: DemoBase, pixels: Pixels, questions: Sequence[Question]) -> NDArray[np.bool_]:
    """Whether the base's CLIP finds the right answer to fit best among the alternatives."""
    features_BD = base.image_features(pixels)
    right = []
    for feature_D, question in zip(features_BD, questions, strict=True):
        asked = question.prompt.replace(question.right, "{}", 1) if question.right in HUES else "{}"
        texts = [asked.format(answer) for answer in question.alternatives]
        scores_K = base.text_features(texts) @ feature_D
        right.append(question.alternatives[int(scores_K.argmax())] == question.right)
    return np.array(right)


def both_are_there(base: DemoBase, pixels: Pixels, questions: Sequence[Question]) -> NDArray[np.bool_]:
    """Whether the CLIP names the one thing in one half of the picture and the other in the other half."""
    texts_KD = base.text_features([a(name) for name in questions[0].alternatives])
    named = [base.image_features(np.stack([half(picture, side) for picture in pixels])) @ texts_KD.T for side in (0, 1)]
    right = []
    for place, question in enumerate(questions):
        seen = [question.alternatives[int(scores_BK[place].argmax())] for scores_BK in named]
        right.append(sorted(seen) == sorted(words(thing.object) for thing in question.scene.things))
    return np.array(right)


def half(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The left (0) or right (1) half of a picture `(H, W, 3)`, enlarged as if its thing stood alone."""
    height, width = picture.shape[:2]
    edge = height * 3 // 16
    cut = Image.fromarray(picture).crop((width // 2 * side, edge, width // 2 * (side + 1), height - edge))
    cut = cut.resize((round(cut.width * height / cut.height), height), Image.Resampling.BICUBIC)
    alone = Image.new("RGB", (width, height), tuple(int(value) for value in border_colour(picture)))
    alone.paste(cut, ((width - cut.width) // 2, 0))
    return np.asarray(alone)


def background_is_right(base: DemoBase, pixels: Pixels, questions: Sequence[Question]) -> NDArray[np.bool_]:
    """Whether the median colour of the border is nearest to the named colour."""
    return np.array(
        [background_of(picture) == question.right for picture, question in zip(pixels, questions, strict=True)]
    )


def hue_is_right(base: DemoBase, pixels: Pixels, questions: Sequence[Question]) -> NDArray[np.bool_]:
    """Whether the dominant hue of the thing's pixels bears the asked name or is a neighbour's on the circle of hues."""
    return np.array(
        [_near(hue_of(picture), question.right) for picture, question in zip(pixels, questions, strict=True)]
    )


def border_colour(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Median RGB of the outermost two pixels of a picture `(H, W, 3)`."""
    inside = np.zeros(picture.shape[:2], bool)
    inside[2:-2, 2:-2] = True
    return np.asarray(np.median(picture[~inside], axis=0), np.float32)


def background_of(picture: NDArray[np.uint8]) -> str:
    """Name of the background colour that the border of a picture is nearest to."""
    border = border_colour(picture)
    return min(COLOURS, key=lambda name: float(np.square(border - np.array(COLOURS[name])).sum()))


def hue_of(picture: NDArray[np.uint8]) -> str | None:
    """Name of the dominant hue of what stands out from the background, None where there is none."""
    distance = np.abs(picture.astype(np.float32) - border_colour(picture)).sum(-1)
    alpha = np.where(distance > _FOREGROUND_DISTANCE, 255, 0)
    return hue_word(np.concatenate([picture, alpha[..., None]], -1).astype(np.float32))


def real_pictures(questions: Sequence[Question]) -> Pixels:
    """What the world itself draws for each question."""
    return np.stack([np.asarray(draw(question.scene, demo_sprites())) for question in questions])


def _turn_to(hue: str, name: str) -> float | None:
    """Degrees of rotation that bring an object of the noto style to a named hue, None where it has no hue."""
    sprite = demo_sprites()["noto", name].astype(np.float32)
    for degrees in range(0, 360, 15):
        turned = np.concatenate([rotate_hue(sprite[..., :3], degrees), sprite[..., 3:]], -1)
        if hue_word(turned) == hue:
            return float(degrees)
    return None


def _near(found: str | None, asked: str) -> bool:
    circle = [name for name, _ in HUE_WORDS]
    return found == asked or (found, asked) in {
        *pairwise(circle),
        *((after, before) for before, after in pairwise(circle)),
    }


FIGURES: Mapping[str, tuple[Callable[[int], list[Question]], Rule, int]] = {
    "object": (object_questions, chosen_by_clip, 2),
    "background": (background_questions, background_is_right, 54),
    "hue": (hue_questions, chosen_by_clip, 64),
    "two": (two_questions, chosen_by_clip, 96),
    "pair": (pair_questions, both_are_there, 96),
}
"""Name of a figure -> its questions, its rule, and how many to ask (per object for `object`)."""


def sheet_prompts() -> list[str]:
    """64 prompts that show the breadth of the base, the same ones every time."""
    rng, colours = random.Random("sheet"), list(COLOURS)
    names = rng.sample([words(name) for name in OBJECTS], 64)
    prompts = [a(name) for name in names[:32]]
    prompts += [f"{a(name)} on {a(rng.choice(colours))} background" for name in names[32:40]]
    prompts += [f"{a(rng.choice(HUES))} {name}" for name in names[40:46]]
    prompts += [f"{a(rng.choice(colours))} {rng.choice(PATTERNS)} {name}" for name in names[46:50]]
    prompts += [f"two {name}" for name in names[50:54]]
    prompts += [f"{a(first)} and {a(second)}" for first, second in zip(names[54:58], names[58:62], strict=True)]
    prompts += [f"a sketch of {a(name)}" for name in names[:2]] + [
        f"{a(name)} in pixel art style" for name in names[2:4]
    ]
    return [*prompts, f"a silhouette of {a(names[62])}", f"a tiny {names[63]}"]
