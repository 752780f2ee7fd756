"""How well a concept does on another base model than the one that it was learned on.

Owns the comparison with its scores at home, encoder by encoder. Does not draw or score.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from textinv.models.base import BaseModel

_COMPARED = ("fidelity", "editability")


class LearnedElsewhere(Protocol):
    """A concept that knows the base model that it was learned on."""

    @property
    def base_model(self) -> str: ...


def travelled(
    scores: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], concept: LearnedElsewhere, model: BaseModel
) -> dict[str, Any]:
    """Say where a concept was learned and drawn, and which share of its last scores at home it keeps.

    `earlier` are its evaluations, oldest first; those on other base models are passed over.
    """
    home: Mapping[str, Any] = next((one for one in reversed(earlier) if "drawn_on" not in one), {})
    return {
        "learned_on": concept.base_model or "an unknown base model",
        "drawn_on": model.id,
        "drawn_on_revision": model.revision,
        "share_of_home": _shares(_by_encoder(scores), _by_encoder(home)),
    }


def _by_encoder(scores: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(one["encoder"]): one for one in scores.get("encoders", ())}


def _shares(
    here: Mapping[str, Mapping[str, Any]], home: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, float]]:
    found = {
        encoder: {
            name: float(one[name]) / float(home[encoder][name])
            for name in _COMPARED
            if isinstance(one.get(name), int | float) and home[encoder].get(name)
        }
        for encoder, one in here.items()
        if encoder in home
    }
    return {encoder: shares for encoder, shares in found.items() if shares}
