"""What is learned is scored at the end, and a score that fails costs nothing but itself."""

import copy
from typing import Any

from torch import Tensor

from textinv.evaluation import Drawing, own_judge
from textinv.models.base import BaseModel
from textinv.training.local import learn

QUICK = Drawing(num_images=1, num_inference_steps=1)


def test_the_record_holds_both_opinions_with_both_anchors(model: BaseModel, works: Any) -> None:
    work = works("disk", max_steps=1, min_steps=1)
    record = learn(model, [work], num_slots=1, judge=own_judge(model, QUICK)).concepts["disk"].record
    (own,) = record["evaluation"]["encoders"]
    assert {"fidelity", "real_to_real", "class_word_fidelity", "editability"} < set(own)
    assert {"shows", "editability"} <= set(record["evaluation"]["judge"])
    assert record["evaluation"]["anchor_word"] == "ball"
    assert record["evaluation"]["seconds"] > 0


def test_words_that_were_found_are_the_anchor_where_there_is_no_class_word(model: BaseModel, works: Any) -> None:
    work = works("found", max_steps=1, min_steps=1, init="auto", class_word=None)
    record = learn(model, [work], num_slots=1, judge=own_judge(model, QUICK)).concepts["found"].record
    (own,) = record["evaluation"]["encoders"]
    assert record["evaluation"]["anchor_word"] == record["started_from"]
    assert "class_word_fidelity" in own
    assert "editability" not in own


def test_a_manifest_may_say_that_nothing_is_scored(model: BaseModel, works: Any) -> None:
    work = works("plain", max_steps=1, min_steps=1, evaluate=False)
    record = learn(model, [work], num_slots=1, judge=own_judge(model, QUICK)).concepts["plain"].record
    assert "evaluation" not in record


def test_being_scored_or_not_is_no_other_spec(works: Any) -> None:
    assert works("a").spec.fingerprint == works("a", evaluate=False).spec.fingerprint


def test_a_concept_whose_scoring_fails_is_learned_all_the_same(model: BaseModel, works: Any) -> None:
    broken = copy.copy(model)

    def cannot_draw(latents_BCHW: Tensor) -> Tensor:
        raise RuntimeError("not enough memory")

    broken.decode_latents = cannot_draw  # type: ignore[method-assign]
    done = learn(broken, [works("kept", max_steps=1, min_steps=1)], num_slots=1, judge=own_judge(broken, QUICK))
    assert "not enough memory" in done.concepts["kept"].record["evaluation"]["error"]["message"]
    assert not done.errors


def test_a_base_model_without_an_encoder_of_its_own_says_so_in_the_record(model: BaseModel, works: Any) -> None:
    blind = copy.copy(model)
    blind.clip = None
    done = learn(blind, [works("kept", max_steps=1, min_steps=1)], num_slots=1, judge=own_judge(blind, QUICK))
    assert "no CLIP of its own" in done.concepts["kept"].record["evaluation"]["error"]["message"]
