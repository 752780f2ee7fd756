"""The model card of a demo base: what it is, what it was trained on, what it reaches, how to make it again.

Owns the text of `README.md` in a base's folder. Every figure comes from what `measure` and the judge's training wrote;
where a figure is missing, the card says so.

    python -m textinv.demo.making.card --weights FOLDER --measured FILE [--tiers FILE]
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from textinv.demo import WEIGHTS
from textinv.demo.artwork import SPRITES
from textinv.demo.concepts import CONCEPTS
from textinv.demo.held_out_styles import HELD_OUT_EFFECTS
from textinv.demo.icons import HELD_OUT_OBJECTS, HELD_OUT_STYLE, OBJECTS, STYLE_WORDS, UNET_STYLES
from textinv.demo.making.train_guess import by_tier
from textinv.demo.world import COLOURS, HUE_WORDS, PATTERNS, SIZES_PX
from textinv.models import revisions_of
from textinv.models.load import GUESS_FILE
from textinv.registry.guesses import read_guess

CARD_NAME = "README.md"
PARTS = ("tokenizer", "text_encoder", "clip", "vae", "unet", "judge")

_FIGURES: Mapping[str, str] = {
    "object": "the right object among all {objects} trained ones",
    "background": "the named background colour",
    "hue": "the named hue, chosen by the CLIP among {hues}",
    "hue by pixels": "the named hue or its neighbour, by pixels",
    "two": '"two X" against one, a large one, and X beside another',
    "pair": '"X and Y": one in each half, each among all {objects}',
}


def model_card(weights: Path, measured: Mapping[str, Any], tiers: Mapping[str, Any] | None = None) -> str:
    """Write the card of the base in `weights` from what `measure` and, where there is one, `tiers` wrote."""
    sections = (
        _introduction(weights),
        _training(),
        _held_out(),
        _quality(weights, measured),
        *([_learning(weights, tiers)] if tiers else []),
        *([guess_section(weights / GUESS_FILE)] if (weights / GUESS_FILE).is_file() else []),
        _reproduction(),
        _licences(),
    )
    return "\n\n".join(sections) + "\n"


def _introduction(weights: Path) -> str:
    sizes = {part: _size_bytes(weights / part) for part in PARTS if (weights / part).exists()}
    table = _table(("part", "kind", "MB"), ((part, _KINDS[part], f"{size / 1e6:.1f}") for part, size in sizes.items()))
    return f"""---
license: other
license_name: mixed-permissive
library_name: diffusers
pipeline_tag: text-to-image
---

# The demo base: a small latent text-to-image model of emoji artwork

Pictures of 64 px from prompts such as "a teal dotted fox on a yellow background". A real model of the Stable Diffusion
kind, small enough to ship and to train on two CPU cores; `textinv` learns new concepts on it where no other model can
be had. It draws nothing but what is listed here, and knows no people, no text and no photographs.

```python
StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)("a fox", guidance_scale=4, height=64, width=64)
```

{table}

Prediction type v, latents 16 x 16 x 4 of variance 1, text window 32, fp16. {_conditioning(weights)} The judge is not
part of the base: it names what a picture shows, as a second opinion on what was learned. `evaluation.json` has the
prompts that learned concepts are scored with."""


def _conditioning(weights: Path) -> str:
    config = json.loads((weights / "unet" / "config.json").read_text())
    if config.get("addition_embed_type") == "text":
        return "The UNet attends to the text, and its time embedding takes a pooled text (`addition_embed_type: text`)."
    return "The UNet attends to the text."


_KINDS: Mapping[str, str] = {
    "tokenizer": "CLIPTokenizer, byte-pair encoding",
    "text_encoder": "CLIPTextModel, the text tower of `clip`",
    "clip": "CLIPModel, both towers",
    "vae": "AutoencoderKL, compression 4",
    "unet": "UNet2DConditionModel",
    "judge": "convolutional classifier",
}


def _training() -> str:
    styles = ", ".join(f'{style} ("{word}")' for style, word in STYLE_WORDS.items())
    return f"""## What it was trained on

Scenes of emoji artwork composed without end, each with a caption, by `textinv.demo.world`: one thing, two of it, or
two different things; {len(COLOURS)} background colours ({", ".join(COLOURS)}); sizes {", ".join(SIZES_PX)}; hues
turned by any angle ({", ".join(dict(HUE_WORDS))}); patterns ({", ".join(PATTERNS)}) in a second colour; stretched and
mirrored; drawn plainly, as pixel art, as a sketch or as a silhouette.

- What it is measured by, and most of what the UNet has seen: {len(OBJECTS)} objects in {len(UNET_STYLES)} styles
  ({", ".join(UNET_STYLES)}): {_list(OBJECTS)}.
- The rest, which the UNet has seen least and late: about 560 more objects, in the styles {styles}; also as neon,
  watercolor, duotone."""


def _held_out() -> str:
    return f"""## What it has never seen

- {len(HELD_OUT_OBJECTS)} objects, in any style: {_list(HELD_OUT_OBJECTS)}.
- The style `{HELD_OUT_STYLE}`, and the effects {", ".join(HELD_OUT_EFFECTS)}.
- The {len(CONCEPTS)} concepts of `textinv.demo.concepts`, which manifests teach.

The judge has seen all of them."""


def _quality(weights: Path, measured: Mapping[str, Any]) -> str:
    drawing: Mapping[str, Mapping[str, float]] = measured.get("drawing", {})
    counts = {"objects": len(OBJECTS), "hues": len(dict(HUE_WORDS))}
    rows = [
        (
            what.format(**counts),
            *(f"{drawing[name][kind]:.0%}" for kind in ("drawn", "decoded", "real")),
            str(drawing[name]["questions"]),
        )
        for name, what in _FIGURES.items()
        if name in drawing
    ]
    drawn = _table(("a picture drawn from a prompt shows", "drawn", "decoded", "real", "prompts"), rows)
    return f"""## Quality

{drawn if rows else "What it draws has not been measured."}

{measured.get("inference steps", "?")} DDIM steps, guidance {measured.get("guidance", "?")}; shapes and counts judged by
the base's own CLIP, which errs too: `real` is what the same rule says of pictures that the world itself composed for
the same questions, `decoded` what it says of these when the VAE has encoded and decoded them.

- CLIP: {measured["clip top-1 of 128"]:.1%} of pictures find their own caption among 128.
- VAE: {measured["vae psnr dB"]:.1f} dB PSNR on pictures of held-out objects.
- {_judge_line(weights / "judge" / "accuracy.json")}"""


_TIER_COLUMNS = (("clip_i", "CLIP-I"), ("judge", "judge"), ("red_background", "red background"))


def _learning(weights: Path, tiers: Mapping[str, Any]) -> str:
    of_these = tiers.get("base_revision") in revisions_of(str(weights))
    measured = "" if of_these else "Measured with an earlier UNet of this base. "
    rows = [
        (
            tier,
            f"{scores['concepts']}",
            way,
            *(f"{scores[way][name]:.3f}" if name in scores[way] else "" for name, _ in _TIER_COLUMNS),
        )
        for tier, scores in tiers["tiers"].items()
        for way in ("learned", "initializer", "description", "real")
        if way in scores
    ]
    table = _table(("tier", "concepts", "asked for by", *(title for _, title in _TIER_COLUMNS)), rows)
    return f"""## Textual Inversion on it

{table}

{measured}Recipe `{tiers["recipe"]}` with `init: auto`, four pictures per concept. CLIP-I: mean cosine, in the base's
own CLIP, of {tiers["drawn"]} drawings with as many pictures of the concept that were not trained on. Judge: mean
probability of everything that is true of the concept. Red background: share of as many other drawings whose background
turns red when a prompt asks for it."""


def guess_section(file: Path) -> str:
    """What the card says of a guess."""
    guess = read_guess(file.read_bytes(), str(file))
    record = guess.record
    rows = [
        (tier, str(found["concepts"]), *(f"{found[name]:.3f}" for name in ("guess", "words", "at_least")))
        for tier, found in by_tier(record.held_out["each"]).items()
    ]
    table = _table(("tier", "concepts", "guess", "ranked words", "better by at least"), rows)
    return f"""## Its guess

`{file.name}` ({len(guess.data) / 1e6:.1f} MB) predicts a concept's first rows from its pictures in one pass
(`init: guess`, recipe `instant`; `init: auto` takes the better of it and ranked words). It was trained through the
frozen base on {record.source}, {record.concepts:,} concepts, {record.sample_passes:,} sample
passes, after it had learned to copy the rows of the words that say what they are: no held-out object, no held-out
style, and none of the artwork of the particular things.

Loss at no steps, with four vectors from four pictures, on four others of each concept; the last column is what 97.5 of
100 draws of the concepts say.

{table}

`make demo-guess` trains one like it, not the same numbers: the first that shipped, 693dd4a24359, copied 24 concepts a
step instead of 16, and none from step 400 to 800. What the table above says of learning was measured from ranked
words."""


def _judge_line(accuracy: Path) -> str:
    if not accuracy.exists():
        return "Judge: its accuracy has not been measured."
    answers = json.loads(accuracy.read_text()).items()
    return (
        "Judge, share of right answers on fresh pictures: "
        + ", ".join(f"{name} {share:.1%}" for name, share in answers)
        + "."
    )


def _reproduction() -> str:
    return """## How to make it again

`make demo-model` (`python -m textinv.demo.making.build`) fetches the icon packages from the npm registry at fixed
versions, renders them, trains tokenizer, CLIP, VAE, UNet and judge with fixed seeds, measures, and writes this card.
Each step can be run alone and continues where it was interrupted. All of it takes a night on two cores, most of it the
UNet.

The weights that ship were reached in several runs, each going on from the one before, and not by one run of this
command; the last ones of UNet and decoder took seven minutes together on an H200 (1.1 million samples and 0.4 million
pictures, `--seconds` and `--composers` of `train_unet` and `train_vae`), and the UNet is one quarter of that run's and
three quarters of the one before (of the averages that were tried, the one with the largest share of the new that still
learns the quickstart's concepts in 60 steps). The command makes a base of the same kind, not the same numbers."""


def _licences() -> str:
    attribution = (SPRITES.parent / "SPRITES-LICENSES.md").read_text()
    start = attribution.index("| style")
    table = attribution[start : attribution.index("\n\n", start)]
    return f"""## Licences and attribution

The weights were made from this artwork; keep the attributions with them.

{table}

The code that trained them is Apache-2.0."""


def _list(names: Sequence[str]) -> str:
    return ", ".join(name.replace("-", " ") for name in names)


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="the base's folder; the card is written into it")
    parser.add_argument("--measured", type=Path, required=True, help="measured.json of textinv.demo.making.measure")
    parser.add_argument("--tiers", type=Path, help="tiers.json of textinv.demo.making.tiers")
    arguments = parser.parse_args()
    tiers = json.loads(arguments.tiers.read_text()) if arguments.tiers else None
    card = model_card(arguments.weights, json.loads(arguments.measured.read_text()), tiers)
    (arguments.weights / CARD_NAME).write_text(card)


if __name__ == "__main__":
    main()
