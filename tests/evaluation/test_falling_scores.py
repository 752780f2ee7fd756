"""Scores that fall beyond their noise are told, others are not."""

from typing import Any

import pytest

from textinv.evaluation.gate import falls, gate_entry, gate_of, has_fallen


def scores(likeness: list[float], editability: list[float] | None = None, **changed: Any) -> dict[str, Any]:
    each = {"fidelity": likeness} | ({"editability": editability} if editability else {})
    return {"prompts": ["a {}"], "drawing": {"seed": 0}, "each": {"clip": each}} | changed


@pytest.mark.parametrize(
    ("before", "after", "fell"),
    [
        ([0.60, 0.62, 0.58, 0.61], [0.40, 0.42, 0.38, 0.41], True),
        ([0.40, 0.42, 0.38, 0.41], [0.60, 0.62, 0.58, 0.61], False),
        ([0.60, 0.62, 0.58, 0.61], [0.60, 0.62, 0.58, 0.61], False),
        ([0.30, 0.90, 0.50, 0.70], [0.25, 0.85, 0.45, 0.65], False),  # the noise is larger than that
        ([0.6], [0.1], False),  # one picture tells nothing of noise
        ([], [0.1, 0.2], False),
    ],
)
def test_a_fall_is_one_when_it_is_larger_than_the_noise(before: list[float], after: list[float], fell: bool) -> None:
    assert has_fallen(before, after) == fell


def test_both_scores_are_looked_at_and_told_in_words() -> None:
    high, low = [0.60, 0.62, 0.58, 0.61], [0.40, 0.42, 0.38, 0.41]
    assert falls(scores(high, low), scores(high, low)) == []
    (likeness,) = falls(scores(high, high), scores(low, high))
    assert likeness == "likeness fell from 0.60 to 0.40 by clip: more than its noise"
    assert len(falls(scores(high, high), scores(low, low))) == 2


def test_what_was_drawn_otherwise_is_not_compared() -> None:
    high, low = [0.60, 0.62, 0.58, 0.61], [0.40, 0.42, 0.38, 0.41]
    assert falls(scores(high), scores(low, prompts=["another {}"])) == []
    assert falls(scores(high), scores(low, drawing={"seed": 1})) == []
    assert falls(scores(high, each={"dino": {"fidelity": high}}), scores(low)) == []
    assert falls({}, scores(low)) == []
    assert falls(scores(high, each=None), scores(low)) == []


def test_only_a_gate_that_is_on_holds_back() -> None:
    assert gate_entry("on", 2, ["a", "b"])["held"] == "a; b"
    assert gate_entry("on", 2, [])["held"] is None
    assert gate_entry("warn", 2, ["a"]) == {"mode": "warn", "against": 2, "reasons": ["a"], "held": None}


def test_on_another_base_model_a_fall_is_told_by_the_same_encoder_alone_and_never_holds_back() -> None:
    high, low = [0.60, 0.62, 0.58, 0.61], [0.40, 0.42, 0.38, 0.41]

    def record(revision: str, likeness: list[float]) -> dict[str, Any]:
        each = {encoder: {"fidelity": likeness} for encoder in ("emoji/clip", "/encoders/dino")}
        base = {"id": "emoji", "revision": revision}
        return {"base_model": base, "evaluation": {"prompts": ["a {}"], "drawing": {"seed": 0}, "each": each}}

    told = gate_of("on", 3, record("r1", high), record("r2", low))
    assert told["reasons"] == ["likeness fell from 0.60 to 0.40 by /encoders/dino: more than its noise"]
    assert (told["mode"], told["against"], told["held"]) == ("warn", 3, None)
    at_home = gate_of("on", 3, record("r1", high), record("r1", low))
    assert (len(at_home["reasons"]), at_home["held"]) == (2, "; ".join(at_home["reasons"]))
