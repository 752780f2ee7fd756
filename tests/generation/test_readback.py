"""From an infotext back to the request that drew it."""

from dataclasses import replace

import numpy as np
import pytest

from textinv.errors import RequestError
from textinv.generation.infotext import read_infotext
from textinv.generation.request import GeneratedImage, GenerateRequest, read_request
from textinv.generation.told_sizes import ToldSizes

BLANK = np.zeros((8, 8, 3), dtype=np.uint8)


def drawn(request: GenerateRequest) -> GeneratedImage:
    """A picture of a request, with what a base model would have filled in."""
    return GeneratedImage(BLANK, 0, replace(request, num_inference_steps=25, guidance_scale=4.0))


def written_and_read(request: GenerateRequest) -> GenerateRequest:
    return read_request(read_infotext(drawn(request).infotext))


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("prompts", [("a (wet:1.3) frog", ""), ("a frog", "[dry]")])
def test_brackets_mean_what_they_meant_when_the_picture_was_drawn(prompts: tuple[str, str], weighted: bool) -> None:
    request = GenerateRequest(*prompts, attention_weights=weighted)
    read = written_and_read(request)
    assert (read.prompt, read.negative_prompt) == prompts
    assert read.attention_weights is weighted


def test_brackets_of_another_web_ui_are_weights_unless_it_says_otherwise() -> None:
    text = "a (wet) cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1"
    assert read_request(read_infotext(text)).attention_weights
    assert read_request(read_infotext(f"{text}, Emphasis: Original")).attention_weights
    assert not read_request(read_infotext(f"{text}, Emphasis: None")).attention_weights


def test_a_prompt_without_brackets_says_nothing_of_them() -> None:
    image = drawn(GenerateRequest("a frog"))
    assert "Emphasis" not in read_infotext(image.infotext).settings
    assert not written_and_read(image.request).attention_weights


@pytest.mark.parametrize("param", ["prompt", "negative_prompt"])
@pytest.mark.parametrize("spelling", ["<cat@{}>", "embedding:cat@{}", "<CAT@{}>"])
def test_a_version_that_cannot_be_is_refused_by_the_prompts_name(param: str, spelling: str) -> None:
    request = GenerateRequest(**{"prompt": "a", param: spelling.format("9" * 5000)})
    with pytest.raises(RequestError, match="a version of 5000 digits") as caught:
        request.check()
    assert caught.value.details["param"] == param


@pytest.mark.parametrize(
    "request_",
    [
        GenerateRequest("a frog", clip_skip=2),
        GenerateRequest("a frog", clip_skip=1),
        GenerateRequest("a frog", sizes=ToldSizes((96, 160), (24, 8), (64, 48))),
        GenerateRequest("a frog", sizes=ToldSizes(target_size=(64, 48))),
    ],
    ids=["layer", "own layer", "sizes", "one size"],
)
def test_the_layer_and_the_sizes_are_read_back(request_: GenerateRequest) -> None:
    read = written_and_read(request_)
    assert (read.clip_skip, read.sizes) == (request_.clip_skip, request_.sizes)


def test_the_layer_is_written_as_a1111_writes_it_and_only_where_it_was_chosen() -> None:
    assert ", Clip skip: 2" in drawn(GenerateRequest("a frog", clip_skip=2)).infotext
    assert "Clip skip" not in drawn(GenerateRequest("a frog")).infotext
