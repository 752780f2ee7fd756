"""Make the tokenizer of the demo base: byte-pair encoding over the world's captions and object names.

Owns the vocabulary. Every letter, digit and common sign is in it, so any text can be written; what captions never say
falls into pieces. Does not know pictures or models.

    python -m textinv.demo.making.train_tokenizer --icons ICONS.npz --out FOLDER [--captions N]
"""

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from textinv.demo.icons import load_sprites
from textinv.demo.making.train_clip import clip_worlds
from textinv.demo.world import World

WINDOW = 32
"""Tokens of a prompt, with its start and end."""
VOCABULARY = 1800
"""Learned entries; letters that no caption has and the two special tokens come on top."""
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789,.!-<>*|"
_START, _END = "<|startoftext|>", "<|endoftext|>"
_PLAIN_WORDS = (
    "the in of style and with three many cute toy pet wearing next to under over drawing painting picture happy"
)
"""Words that no caption has and people type."""


def caption_corpus(world: World, num_captions: int, seed: int) -> list[str]:
    """Sampled captions, every object's name, and words that people type."""
    rng = random.Random(seed)
    captions = [world.sample(rng)[1] for _ in range(num_captions)]
    return [*captions, *[name.replace("-", " ") for name in world.objects] * 20, *[_PLAIN_WORDS] * 50]


def train_tokenizer(corpus: Sequence[str]) -> CLIPTokenizer:
    """Learn byte-pair merges from `corpus` and dress them as a CLIP tokenizer."""
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=_END))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    learner.train_from_iterator(
        corpus,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY, end_of_word_suffix="</w>", initial_alphabet=list(_ALPHABET), show_progress=False
        ),
    )
    learned: dict[str, Any] = json.loads(learner.to_str())["model"]
    return _as_clip(learned["vocab"], [tuple(merge) for merge in learned["merges"]])


def _as_clip(vocabulary: dict[str, int], merges: Sequence[tuple[str, str]]) -> CLIPTokenizer:
    for letter in _ALPHABET:
        for token in (letter, f"{letter}</w>"):
            vocabulary.setdefault(token, len(vocabulary))
    for token in (_START, _END):
        vocabulary[token] = len(vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        vocab_file, merges_file = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab_file.write_text(json.dumps(vocabulary))
        merges_file.write_text("\n".join(["#version: 0.2", *(" ".join(merge) for merge in merges), ""]))
        tokenizer = CLIPTokenizer(vocab=str(vocab_file), merges=str(merges_file))
    tokenizer.model_max_length = WINDOW
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--icons", type=Path, required=True, help="sprites written by textinv.demo.icons.save_sprites")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--captions", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    _, wide = clip_worlds(load_sprites(arguments.icons))
    train_tokenizer(caption_corpus(wide, arguments.captions, arguments.seed)).save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
