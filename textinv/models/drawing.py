"""How a base model draws where a request does not say.

Owns the values and who may state them: the family, from its source; a file `drawing.json` in the base model's folder;
whoever names it (`model?guidance_scale=7`). Does not know requests, nor what noise schedulers do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from textinv.errors import BaseModelError

FILE = "drawing.json"


@dataclass(frozen=True)
class DrawingDefaults:
    """What a request draws with that leaves it out."""

    guidance_scale: float
    num_inference_steps: int
    noise_scheduler: str | None = None
    """None: the one that the folder ships."""

    def overridden(self, name: str, said: Mapping[str, Any], where: str) -> "DrawingDefaults":
        """These, but for what is said of the base model `name`.

        Raises:
            BaseModelError: a field is unknown or no such value.
        """
        known = ("guidance_scale", "num_inference_steps", "noise_scheduler")
        if unknown := sorted(set(said) - {*known, "source"}):
            raise BaseModelError(
                f"{where} of the base model {name!r} says {unknown[0]!r}; known are {', '.join(known)}"
            )
        changes: dict[str, Any] = {}
        for field, kind, least, most in (("guidance_scale", float, 0, 100), ("num_inference_steps", int, 1, 150)):
            if field in said:
                changes[field] = _number(name, said[field], field, kind, (least, most), where)
        if "noise_scheduler" in said:
            changes["noise_scheduler"] = str(said["noise_scheduler"])
        return replace(self, **changes)


def _number(name: str, said: Any, field: str, kind: type, bounds: tuple[int, int], where: str) -> Any:
    try:
        number = kind(said)
    except (TypeError, ValueError):
        number = None
    if number is None or not bounds[0] <= number <= bounds[1]:
        raise BaseModelError(
            f"{where} of {name!r} says {field}={said!r}; write a number from {bounds[0]} to {bounds[1]}"
        )
    return number
