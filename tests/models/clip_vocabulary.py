"""The real CLIP vocabulary as a tokenizer's folder: `tests/data/clip` says where it comes from."""

import gzip
import json
from pathlib import Path

DATA = Path(__file__).parents[1] / "data" / "clip"


def write_vocabulary(folder: Path) -> None:
    """Split the one file into the two that transformers reads, in OpenAI's order."""
    merges = gzip.decompress((DATA / "bpe_simple_vocab_16e6.txt.gz").read_bytes()).decode().split("\n")
    merges = merges[1 : 49152 - 256 - 2 + 1]
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = [chr(byte) for byte in plain] + [chr(256 + k) for k in range(256 - len(plain))]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *(merge.replace(" ", "") for merge in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
