"""What the quickstart's concepts learn, judged on pictures that they were not taught with.

Every concept is learned once more with another's pictures, so that a word which draws what it was called, and not what
it was shown, is found out.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from textinv.embedding import Embedding
from textinv.evaluation.scores import all_pairs
from textinv.generation import GenerateRequest, generate_all
from textinv.guess.guess import work_of
from textinv.manifest import load_manifest
from textinv.models import BaseModel
from textinv.models.picture_encoder import PictureEncoder, own_encoder
from textinv.placeholders import ConceptRef
from textinv.plan import make_plan
from textinv.spec import TrainSpec
from textinv.training.train import learn

pytestmark = [pytest.mark.load, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
SWAPPED = {"tall-crab": "tulip", "tulip": "tall-crab"}
PROMPTS = {"object": "a {} on a white background", "style": "a {} of a crown"}
NUM_PICTURES, NUM_INFERENCE_STEPS = 4, 15
SHORT = {"object": 20, "style": 30}
"""After so many steps a concept must be known, whatever the recipe's own rule of stopping says of it."""
WHOLE: Mapping[str, int] = {}

Pictures = list[NDArray[np.uint8]]


@pytest.fixture(scope="module")
def model(emoji: BaseModel) -> BaseModel:
    return emoji


@pytest.fixture(scope="module")
def encoder(model: BaseModel) -> PictureEncoder:
    return own_encoder(model)


@pytest.fixture(scope="module", params=[pytest.param(SHORT, id="short"), pytest.param(WHOLE, id="whole")])
def learned(model: BaseModel, request: pytest.FixtureRequest) -> Mapping[str, Embedding]:
    """Embeddings by concept; `swapped-NAME` was learned with the pictures of another."""
    plan = make_plan(load_manifest(ROOT / "manifests" / "quickstart.yaml"))
    specs = {planned.spec.name: in_steps(planned.spec, request.param) for planned in plan.specs}
    for name, other in SWAPPED.items():
        changes = {"name": f"swapped-{name}", "pictures": specs[other].pictures}
        specs[f"swapped-{name}"] = specs[name].model_copy(update=changes)
    works = [work_of(plan, spec, name) for name, spec in specs.items()]
    collected = learn(model, works, num_slots=len(works))
    assert collected.errors == {}
    return {name: concept.embedding for name, concept in collected.concepts.items()}


def in_steps(spec: TrainSpec, steps: Mapping[str, int]) -> TrainSpec:
    """A spec that ends after the steps of its kind, if any are given."""
    given = steps.get(spec.kind)
    return spec if given is None else spec.model_copy(update={"max_steps": given, "min_steps": given})


@pytest.fixture(scope="module")
def drawn(model: BaseModel, encoder: PictureEncoder, learned: Mapping[str, Embedding]) -> Mapping[str, Tensor]:
    """What the encoder sees in pictures of each embedding."""
    features = {}
    for name, embedding in learned.items():
        kind, ref = "style" if name.endswith("-style") else "object", ConceptRef(name)
        features[name] = encoder.pictures(_draw(model, PROMPTS[kind].format(ref.placeholder), {ref: embedding}))
    return features


def _draw(model: BaseModel, prompt: str, mounts: Mapping[ConceptRef, Embedding]) -> Pictures:
    fields = {"num_inference_steps": NUM_INFERENCE_STEPS}
    requests = [(GenerateRequest(prompt, seed=seed, **fields), mounts) for seed in range(NUM_PICTURES)]
    return [image.pixels for images in generate_all(model, requests) for image in images]


def _unseen(encoder: PictureEncoder, name: str) -> Tensor:
    paths = sorted((ROOT / "tests/data/quickstart" / name).glob("*.png"))
    return encoder.pictures([np.asarray(Image.open(path).convert("RGB")) for path in paths])


@pytest.mark.parametrize(
    ("name", "kind", "initializer"),
    [
        ("tall-crab", "object", "crab"),
        ("pink-pineapple", "object", "pineapple"),
        ("tulip", "object", "rose"),
        ("night-vision-style", "style", "silhouette"),
    ],
)
def test_the_learned_word_draws_its_concept_better_than_the_initializer_word(
    model: BaseModel,
    encoder: PictureEncoder,
    drawn: Mapping[str, Tensor],
    name: str,
    kind: str,
    initializer: str,
) -> None:
    unseen = _unseen(encoder, name)
    by_word = encoder.pictures(_draw(model, PROMPTS[kind].format(initializer), {}))
    assert all_pairs(drawn[name], unseen) > all_pairs(by_word, unseen)


@pytest.mark.parametrize(("name", "other"), SWAPPED.items())
def test_a_word_draws_what_it_was_shown_and_not_what_it_is_called(
    encoder: PictureEncoder, drawn: Mapping[str, Tensor], name: str, other: str
) -> None:
    own, others = _unseen(encoder, name), _unseen(encoder, other)
    right, swapped = drawn[name], drawn[f"swapped-{name}"]
    assert all_pairs(right, own) > all_pairs(right, others)
    assert all_pairs(swapped, others) > all_pairs(swapped, own)
    assert torch.isfinite(right).all()
