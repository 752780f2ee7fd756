"""A base model whose UNet pass is compiled: for packs, whose sizes are few and come again.

Owns how that is done on each kind of device. Does not know packs.
"""

import copy
import os
import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from textinv.models.base import BaseModel, Conditioning

MOST_SIZES = 64
"""Batch sizes that are kept compiled, with and without gradients: above the dozen that `padded_size` gives a pack."""


def has_compiler() -> bool:
    """Whether there is a C++ compiler, which `inductor` calls on every kind of device."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "c++", "g++", "clang++") if name)


def compiled(model: BaseModel, backend: str | Callable[..., Any] = "inductor") -> BaseModel:
    """The same base model with `predict` compiled, once for each size that it meets: seconds to minutes each.

    On a GPU each pass is kept as a CUDA graph, which takes its kernels' launching off the CPU. Answers are those of
    `model` but for rounding. `backend` is what `torch.compile` takes.
    """
    on_gpu = model.device.type == "cuda"
    mode = "reduce-overhead" if on_gpu and backend == "inductor" else None
    run = torch.compile(model.predict, backend=backend, mode=mode, dynamic=False)

    def predict(noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning) -> Tensor:
        if on_gpu:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        with torch.compiler.config.patch(recompile_limit=MOST_SIZES):  # type: ignore[attr-defined]
            predicted_BCHW: Tensor = run(noisy_BCHW, timesteps_B, conditioning)
        return predicted_BCHW.clone() if on_gpu else predicted_BCHW  # out of the graph's own memory

    found = copy.copy(model)
    found.predict = predict  # type: ignore[method-assign]
    return found
