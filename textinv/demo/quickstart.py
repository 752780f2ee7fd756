"""The demo: learn the concepts of a manifest and show what they are, from an empty machine to one picture.

Goes the whole way as a user would: `textinv submit`, `textinv serve up`, HTTP requests with the new words, a contact
sheet (training pictures | at once | learned concept | edits). Each concept goes in twice: to be learned, and as what
the base model's guess makes of its pictures at once. Does not know how any of that is done.

    python -m textinv.demo.quickstart [--manifest FILE] [--out FILE]     KEEP=1 leaves service and store running
"""

import argparse
import base64
import io
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from textinv.demo import GUESS
from textinv.demo.sheet import PictureGroup, SheetRow, contact_sheet

LEARNED = {
    "object": ("a photo of a {}", "a {} on a white background"),
    "style": ("a frog in {} style", "a penguin in {} style"),
}
EDITS = {
    "object": (
        "a {} on a red background",
        "two {} on a yellow background",
        "a silhouette of a {}",
        "a {} and a rocket",
    ),
    "style": ("a key in {} style", "a hammer in {} style", "a candle in {} style", "a pineapple in {} style"),
}
"""Prompts by kind of concept; `{}` is where the placeholder goes."""
AT_ONCE = "-at-once"
"""Behind the name of a concept as it is guessed."""


@dataclass(frozen=True)
class Concept:
    """What the demo needs to know of a concept of its manifest."""

    name: str
    kind: str
    pictures: tuple[Path, ...]


def textinv(*arguments: str) -> str:
    """Run a command of the CLI, showing what it says on standard error, and return its standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "textinv.cli", *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n`textinv {' '.join(arguments)}` failed with exit status {done.returncode}")
    return done.stdout


def concepts_of(manifest: Path) -> list[Concept]:
    """Read names, kinds and picture folders from a manifest."""
    stated = yaml.safe_load(manifest.read_text())
    concepts = []
    for entry in stated["concepts"]:
        pictures = tuple(sorted((manifest.parent / entry["images"]).glob("*.png")))
        concepts.append(Concept(entry["name"], entry.get("kind", "object"), pictures))
    return concepts


def with_guesses(manifest: Path, out: Path) -> Path:
    """Write the manifest anew, with every concept once more as it is guessed; the path of what to submit."""
    stated = yaml.safe_load(manifest.read_text())
    learned = [{**entry, "images": str((manifest.parent / entry["images"]).resolve())} for entry in stated["concepts"]]
    at_once = {"recipe": "instant", "init": "guess", "evaluate": False}
    guessed = [{**entry, **at_once, "name": entry["name"] + AT_ONCE} for entry in learned]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(yaml.safe_dump({**stated, "concepts": [*guessed, *learned]}, sort_keys=False))
    return out


def draw(url: str, prompt: str, seed: int) -> Image.Image:
    """Ask the service for one picture."""
    request = urllib.request.Request(
        f"{url}/v1/images/generations",
        json.dumps({"prompt": prompt, "seed": seed}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=300) as response:
        answer = json.load(response)
    return Image.open(io.BytesIO(base64.b64decode(answer["data"][0]["b64_json"]))).convert("RGB")


def sheet(url: str, concepts: Sequence[Concept], seed: int, *, guessed: bool) -> Image.Image:
    """Draw every prompt of every concept, many at once, and lay the pictures out."""

    def group(title: str, name: str, prompts: Sequence[str]) -> PictureGroup:
        texts = [prompt.format(f"<{name}>") for prompt in prompts]
        with ThreadPoolExecutor(len(texts)) as pool:
            pictures = list(pool.map(lambda text: draw(url, text, seed), texts))
        return PictureGroup(title, list(zip(pictures, texts, strict=True)))

    def row(concept: Concept) -> SheetRow:
        shown = [(Image.open(path).convert("RGB"), "") for path in concept.pictures[:4]]
        groups = [
            PictureGroup("training pictures", shown),
            *([group("at once", concept.name + AT_ONCE, LEARNED[concept.kind][:1])] if guessed else []),
            group("learned", concept.name, LEARNED[concept.kind]),
            group("edits", concept.name, EDITS[concept.kind]),
        ]
        return SheetRow(f"<{concept.name}>", groups)

    with ThreadPoolExecutor(len(concepts)) as pool:
        return contact_sheet(list(pool.map(row, concepts)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path, default=Path("manifests/quickstart.yaml"))
    parser.add_argument("--out", type=Path, default=Path("build/demo/contact-sheet.png"))
    parser.add_argument("--seed", type=int, default=9)
    arguments = parser.parse_args()

    concepts, submitted = concepts_of(arguments.manifest), arguments.manifest
    guessed = GUESS.is_file()
    if guessed:
        submitted = with_guesses(arguments.manifest, arguments.out.with_name("manifest.yaml"))
    textinv("store", "up")
    try:
        textinv("submit", str(submitted), "--follow")
        service: dict[str, Any] = json.loads(textinv("serve", "up", "--json"))
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        sheet(service["url"], concepts, arguments.seed, guessed=guessed).save(arguments.out)
    finally:
        if os.environ.get("KEEP") != "1":
            subprocess.run([sys.executable, "-m", "textinv.cli", "down"], stdout=subprocess.DEVNULL, check=False)
    print(f"learned {len(concepts)} concepts; contact sheet: {arguments.out.resolve()}")
    if os.environ.get("KEEP") == "1":
        print(f"the page is at {service['url']}/    (`textinv down` stops everything)")


if __name__ == "__main__":
    main()
