"""An evaluation on another base model says which share of the scores at home a concept keeps."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from textinv.evaluation.travel import travelled
from textinv.models.base import BaseModel


@dataclass(frozen=True)
class Fox:
    """A concept."""

    base_model: str = "home"


THERE = cast(BaseModel, SimpleNamespace(id="there", revision="r2"))


def scores(fidelity: float, editability: float | None = 0.5) -> dict[str, Any]:
    return {"encoders": [{"encoder": "clip", "fidelity": fidelity, "editability": editability}]}


def test_scores_are_compared_with_the_last_ones_at_home_of_the_same_encoder() -> None:
    earlier = [scores(0.2), scores(0.8), scores(0.1) | {"drawn_on": "elsewhere"}]
    told = travelled(scores(0.6, 0.25), earlier, Fox(), THERE)
    assert (told["learned_on"], told["drawn_on"], told["drawn_on_revision"]) == ("home", "there", "r2")
    assert told["share_of_home"] == {"clip": {"fidelity": pytest.approx(0.75), "editability": pytest.approx(0.5)}}


def test_what_was_not_scored_at_home_or_has_no_score_is_not_compared() -> None:
    assert travelled(scores(0.6), [], Fox(""), THERE)["share_of_home"] == {}
    told = travelled(scores(0.6, None), [scores(0.8)], Fox(), THERE)
    assert told["share_of_home"] == {"clip": {"fidelity": pytest.approx(0.75)}}
    assert travelled(scores(0.6), [], Fox(""), THERE)["learned_on"] == "an unknown base model"
