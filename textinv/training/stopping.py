"""When a concept has learned enough.

Voronov, Khoroshikh, Babenko and Ryabinin 2023, "Is This Loss Informative?", arXiv:2302.04841: the loss on a *fixed*
batch shows convergence where the training loss cannot. Their rule (DVAR) stops when the variance of the last `window`
values falls below `threshold` times the variance of the whole history.

Pure functions over the history of fixed-batch losses; knows neither slots nor models.
"""

from collections.abc import Sequence
from statistics import pvariance
from typing import Literal

StopReason = Literal["converged", "cap", "diverged", "cancelled"]


def dvar_ratio(history: Sequence[float], window: int) -> float | None:
    """Var(last `window` values) / Var(all values), both population variances; None while there are too few values."""
    if len(history) < window or window < 2:
        return None
    whole = pvariance(history)
    return pvariance(history[-window:]) / whole if whole > 0 else 0.0


def has_converged(history: Sequence[float], window: int, threshold: float) -> bool:
    """Whether DVAR says that the concept has converged. With exactly `window` values the ratio is 1: it cannot fire."""
    ratio = dvar_ratio(history, window)
    return ratio is not None and ratio < threshold
