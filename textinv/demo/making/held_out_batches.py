"""Batches that no training draws from, the same every time: by their losses a run is followed.

Owns which: the old world in plain words, the wider world by plain words and by written words, and, by written words
alone, held-out objects and held-out styles. The last two are what inversion will be asked for. Does not know the UNet.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch

from textinv.demo.concept_pictures import concept_pictures
from textinv.demo.concepts import Tier, concepts_of
from textinv.demo.icons import Sprites
from textinv.demo.making.drawing import stack
from textinv.demo.making.group_pool import Batch, GroupPool
from textinv.demo.making.wide_world import GROUP, Shares, wide_world
from textinv.demo.making.word_writer import MAX_ROWS, word_ids

NUM_GROUPS = 16


def held_out_batches(sprites: Sprites, pool: GroupPool) -> Mapping[str, Batch]:
    """All batches by name; encodes them with the pool's VAE."""
    wide = wide_world(sprites)
    old = replace(wide, plain=wide.plain[:1], shares=Shares(1, 0, 0))
    every = replace(wide, plain=wide.plain[-1:], shares=Shares(1, 0, 0))
    things, looks = (replace(wide, shares=shares) for shares in (Shares(0, 1, 0), Shares(0, 0, 1)))
    aside = [replace(pool, world=world, seed=-1) for world in (old, every, things, looks)]
    return {
        "75 objects": _drawn(aside[0], asked_by_word=False),
        "all objects": _drawn(aside[1], asked_by_word=False),
        "things by word": _drawn(aside[2], asked_by_word=True),
        "looks by word": _drawn(aside[3], asked_by_word=True),
        "held-out objects by word": _concepts("held-out-object", pool),
        "held-out styles by word": _concepts("held-out-style", pool),
    }


def _drawn(pool: GroupPool, asked_by_word: bool) -> Batch:
    latents_GPCHW, plain_GPL, words_GPL = pool.compose(range(NUM_GROUPS))
    ids_BL = (words_GPL if asked_by_word else plain_GPL).flatten(0, 1).long()
    latents_GPCHW = latents_GPCHW.float()
    others_BPCHW = latents_GPCHW.repeat_interleave(GROUP, 0)
    shown_BP = ~torch.eye(GROUP, dtype=torch.bool).repeat(NUM_GROUPS, 1)
    return Batch(latents_GPCHW.flatten(0, 1), ids_BL, others_BPCHW, shown_BP)


def _concepts(tier: Tier, pool: GroupPool) -> Batch:
    """Pictures that a concept is judged by, asked for by a word from those that it is taught by."""
    concepts = concepts_of(tier)
    taught, asked = (
        [concept_pictures(concept, purpose, GROUP) for concept in concepts] for purpose in ("training", "evaluation")
    )
    taught_BCHW, asked_BCHW = (
        pool.encode(stack([picture.image for pictures in groups for picture in pictures])) for groups in (taught, asked)
    )
    captions = [picture.caption for pictures in asked for picture in pictures]
    ids_BL = word_ids(pool.tokenizer, captions, [MAX_ROWS] * len(captions))
    others_BPCHW = taught_BCHW.view(len(concepts), GROUP, *taught_BCHW.shape[1:]).repeat_interleave(GROUP, 0)
    return Batch(asked_BCHW, ids_BL, others_BPCHW, torch.ones(len(captions), GROUP, dtype=torch.bool))
