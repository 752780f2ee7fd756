"""Whether a new version may become current: its scores have not fallen by more than their noise.

Owns the comparison of two evaluations, picture by picture: the difference of their means is bootstrapped (Efron 1979),
and has fallen where 97.5 of 100 draws say so. What was drawn otherwise, or by older programs, which kept no scores of
single pictures, is not compared. On another base model than the current version's, the encoders that come with a base
model are left out, as each is another one, and a fall is told but never holds the version back: it is the only one that
this base model can draw. Does not know registries; `textinv.registry` holds a version back for what is said under
`gate` in its record.
"""

from collections.abc import Mapping, Sequence, Set
from typing import Any, Literal

import numpy as np

GateMode = Literal["off", "warn", "on"]
"""Whether a fall is not looked for, told, or holds the version back."""
WORDS = {"fidelity": "likeness", "editability": "editability"}
_NUM_DRAWS = 4000
_QUANTILE = 0.975
_FEWEST = 2


def gate_of(mode: GateMode, against: int, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What the record `after` is to say of the gate: its version comes after the version `against`, which is current
    and has the record `before`."""
    bases = [_mapping(record.get("base_model")) for record in (before, after)]
    elsewhere = bases[0].get("revision") != bases[1].get("revision")
    own = {f"{base.get('id')}/clip" for base in bases} if elsewhere else set()
    reasons = falls(_mapping(before.get("evaluation")), _mapping(after.get("evaluation")), own)
    return gate_entry("warn" if elsewhere else mode, against, reasons)


def falls(before: Mapping[str, Any], after: Mapping[str, Any], left_out: Set[str] = frozenset()) -> list[str]:
    """What has fallen between two evaluations, in words; nothing where they cannot be compared.

    `left_out` names encoders that are not the same in both.
    """
    if any(before.get(field) != after.get(field) for field in ("prompts", "drawing")):
        return []
    each_before, each_after = _mapping(before.get("each")), _mapping(after.get("each"))
    found = []
    for encoder in (each_before.keys() & each_after.keys()) - left_out:
        for field, word in WORDS.items():
            old, new = (_mapping(each[encoder]).get(field) or () for each in (each_before, each_after))
            if has_fallen(old, new):
                means = f"{np.mean(old):.2f} to {np.mean(new):.2f}"
                found.append(f"{word} fell from {means} by {encoder}: more than its noise")
    return sorted(found)


def has_fallen(before: Sequence[float], after: Sequence[float]) -> bool:
    """Whether scores of pictures are lower than others by more than chance; the same answer for the same scores."""
    if min(len(before), len(after)) < _FEWEST:
        return False
    draws = np.random.default_rng(0)
    means = [
        np.asarray(scores)[draws.integers(len(scores), size=(_NUM_DRAWS, len(scores)))].mean(1)
        for scores in (before, after)
    ]
    return bool(np.quantile(means[1] - means[0], _QUANTILE) < 0)


def gate_entry(mode: GateMode, against: int, reasons: Sequence[str]) -> dict[str, Any]:
    """What a record says of the gate; `held` is why the version is not made current."""
    held = "; ".join(reasons) if reasons and mode == "on" else None
    return {"mode": mode, "against": against, "reasons": list(reasons), "held": held}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
