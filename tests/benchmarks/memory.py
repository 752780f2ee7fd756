"""`make bench-memory`: the table of memory in `textinv/README.md`, by arithmetic; nothing is measured on a device.

Every base model has the configs that are published, without bytes (the meta device), in bfloat16. One sample and its
caption go forward and back as in training, with a row of one vector in each text encoder, and all storages that
operations make are counted as long as anything holds them: the most at once is a sample's. Storages that several
tensors share count once, and frozen weights do not, as they are nothing that a sample adds.

Attention counts as fused kernels have it, wherever a library asks torch for one: queries, keys, values, the mask, the
result and one float32 for each query stay, and no scores. (On the meta device torch itself would take its slow way and
keep them.) What such kernels, the allocator and CUDA's context take beside is not counted: a tenth of a card is left.
"""

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from tests.models.kept import Held
from tests.models.real_bases import REAL_BASES
from textinv.models import load_base_model
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef

GIB = 2**30
CARDS = (12, 24, 80)
"""GiB."""
LEFT_FREE = 0.1
CAPTION = "a photo of a <fox> on the grass"
NUM_WORDS = 32
"""Tokens of a caption where a transformer takes no padding: of the chat that Qwen reads, in the multiples that Z-Image
fills up to."""
T5_ASIDE = {"SD 3.5 medium": ("clip_l", "clip_g"), "SD 3.5 large": ("clip_l", "clip_g"), "FLUX.1 dev": ("clip_l",)}
"""The encoders that learn where T5 does not: then it is not on the device."""


class _Fused(torch.autograd.Function):
    """What a fused kernel keeps of an attention, and gives; on the meta device, where only sizes matter."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        batch, heads, length, _ = query.shape
        if mask is not None and mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=query.dtype)  # as torch does before it calls a kernel
        result = query.new_empty(batch, length, heads, value.shape[-1]).transpose(1, 2)
        ctx.save_for_backward(query, key, value, mask, result, query.new_empty(query.shape[:3], dtype=torch.float32))
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return (*(torch.empty_like(each) for each in ctx.saved_tensors[:3]), None)


def _fused(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
    result: Tensor = _Fused.apply(query, key, value, attn_mask)
    return result


def _shown(tensor: Tensor, key: Any) -> Tensor:
    """An element or a slice, or what a mask shows: `NUM_WORDS`."""
    is_mask = torch.is_tensor(key) and key.dtype == torch.bool
    return _GET(tensor, slice(NUM_WORDS) if is_mask else key)


_GET, _BOOL = Tensor.__getitem__, Tensor.__bool__


@contextmanager
def without_numbers() -> Iterator[None]:
    """Lets models run on the meta device, with fused attention; whoever asks a mask hears that it hides something.

    Not by a mode of torch's, which is not in force where layers are computed again. Only for a process of its own: one
    in which `Tensor.__getitem__` was ever set takes a lone number for a sequence from then on.
    """
    with (
        patch.object(nn.functional, "scaled_dot_product_attention", _fused),
        patch.object(Tensor, "__bool__", lambda tensor: not tensor.is_meta and _BOOL(tensor)),
        patch.object(Tensor, "__getitem__", _shown),
    ):
        yield


def held_of(model: BaseModel, side_px: int, learning: Collection[str] = ()) -> Held:
    """What one sample holds, on its way forward and back; rows of some text encoders learn, or of all."""
    rows = {name: each for name, each in fresh_rows(model).items() if name in (learning or model.encoder_names)}
    with without_numbers() if model.device.type == "meta" else nullcontext(), Held() as held:
        torch.autograd.grad(loss_of(model, side_px, rows), list(rows.values()))
    return held


def fresh_rows(model: BaseModel) -> dict[str, Tensor]:
    """A row (1, D) of each text encoder, to be learned."""
    return {
        name: torch.zeros(1, width, device=model.device, requires_grad=True)
        for name, width in model.encoder_widths.items()
    }


def counted(folder: str, side_px: int) -> tuple[int, int]:
    """What a sample of the base model in a folder holds after its way forward, and the most at once on the way back."""
    model = load_base_model(folder, device="meta", dtype="float32")
    rows = {
        name: torch.zeros(1, width, device="meta", requires_grad=True) for name, width in model.encoder_widths.items()
    }
    with without_numbers(), Held() as held:
        loss = loss_of(model, side_px, rows)
        now = held.now
        del loss
    return now, held_of(model, side_px).most


def loss_of(model: BaseModel, side_px: int, rows: Mapping[str, Tensor]) -> Tensor:
    """Of one sample with the caption."""
    side = side_px // model.latent_scale
    noisy_BCHW = torch.zeros(1, model.latent_channels, side, side, device=model.device)
    heard = model.encode_text(model.tokenize([CAPTION], {ConceptRef("fox"): range(1)}), rows)
    return model.predict(noisy_BCHW, torch.tensor([500]), heard).square().mean()


def weight_bytes(parts: Collection[Any], rounded: Collection[Any] = ()) -> int:
    """Of networks in bfloat16; of the rounded ones linear layers are in int8, with a scale for each output."""
    total = 0
    for part in parts:
        tensors = {id(each): each for each in (*part.parameters(), *part.buffers())}
        total += sum(2 * each.numel() for each in tensors.values())
        if any(part is each for each in rounded):
            linear = [each for each in part.modules() if isinstance(each, nn.Linear)]
            total -= sum(each.weight.numel() - 2 * each.out_features for each in linear)
    return total


@dataclass(frozen=True)
class Row:
    """Of one base model; samples with all that is kept, and with layers that are computed again."""

    name: str
    weights: Mapping[str, int]
    """By how they are kept, in bytes."""
    kept: int
    again: int

    @property
    def cells(self) -> list[str]:
        """The row's cells: a line of each for every way to keep weights."""
        fits = [[f"{self.fit(card, size)}" for card in CARDS] for size in self.weights.values()]
        return [
            self.name,
            " / ".join(_gib(size) for size in self.weights.values()),
            f"{_gib(self.kept)} / {_gib(self.again)}",
            *[" ; ".join(each) for each in zip(*fits, strict=True)],
        ]

    def fit(self, card_gib: int, weights: int) -> str:
        """Samples of a forward on a card, kept / computed again."""
        room = card_gib * GIB * (1 - LEFT_FREE) - weights
        return f"{max(int(room // self.kept), 0)} / {max(int(room // self.again), 0)}"


def row_of(name: str, learning: Collection[str] = ()) -> Row:
    """Count a base model of real size."""
    real = REAL_BASES[name]
    model: Any = real.on_meta()
    encoders = [each for key, each in model._encoders.items() if key in (learning or model.encoder_names)]
    networks = [model._network, *(encoder.network for encoder in encoders)]
    parts = [*networks, model._vaes[0][1]]
    weights = {"bfloat16": weight_bytes(parts), "int8": weight_bytes(parts, networks)}
    kept = held_of(model, real.side_px, learning).most
    model.checkpoint_gradients()
    title = f"{name}, T5 aside" if learning else f"{name}, {real.side_px} px"
    return Row(title, weights, kept, held_of(model, real.side_px, learning).most)


def lines(names: Collection[str]) -> Iterator[str]:
    """The table's lines, in Markdown."""
    heads = ["base model", "weights: bfloat16 / int8", "a sample: kept / again", *(f"{card} GiB" for card in CARDS)]
    yield _line(heads)
    yield _line(["---", *["--:"] * (len(heads) - 1)])
    for name in names:
        yield _line(row_of(name).cells)
        if name in T5_ASIDE:
            yield _line(row_of(name, T5_ASIDE[name]).cells)


def _line(cells: Collection[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}" if size >= GIB else f"{size / GIB:.2f}"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(REAL_BASES), metavar="NAME", help="'SDXL', 'FLUX.1 dev', ...")
    for line in lines(parser.parse_args().names):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
