"""When a concept has learned enough.

Voronov, Khoroshikh, Babenko and Ryabinin 2023, "Is This Loss Informative?", arXiv:2302.04841: the loss on a *fixed*
batch shows convergence where the training loss cannot. Their rule (DVAR) stops when the variance of the last `window`
values falls below `threshold` times the variance of the whole history: once the first fall is over, that holds for
nearly every concept, also for one that goes on learning slowly. Our own (`gain`) asks instead what the second half of
the training has brought, and stops when that is less than `threshold` of all that was gained. It has no unit and no
window: who learns slowly is given as much time again as it had.

Pure functions over the history of fixed-batch losses; knows neither slots nor models.
"""

from collections.abc import Sequence
from statistics import pvariance
from typing import Literal

from textinv.plan.spec import StopSpec

StopReason = Literal["converged", "cap", "diverged", "cancelled"]


def dvar_ratio(history: Sequence[float], window: int) -> float | None:
    """Var(last `window` values) / Var(all values), both population variances; None while there are too few values."""
    if len(history) < window or window < 2:
        return None
    whole = pvariance(history)
    return pvariance(history[-window:]) / whole if whole > 0 else 0.0


def late_gain(history: Sequence[float]) -> float | None:
    """Share of the whole gain that the second half of the history brought; None while nothing was gained.

    The gain is how far the least loss lies below the first one, which is that of the initializer.
    """
    half, best = min(history[: (len(history) + 1) // 2], default=0.0), min(history, default=0.0)
    if not history or best >= history[0]:
        return None
    return (half - best) / (history[0] - best)


def has_converged(history: Sequence[float], stop: StopSpec) -> bool:
    """Whether a concept's rule says that it has learned enough. DVAR cannot fire at exactly `window` values."""
    if stop.rule == "fixed":
        return False
    share = dvar_ratio(history, stop.window) if stop.rule == "dvar" else late_gain(history)
    return share is not None and share < stop.threshold
