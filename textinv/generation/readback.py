"""From an infotext back to a request: the way to draw a picture again.

Owns which settings are understood. Does not know PNG.
"""

import re
from dataclasses import replace

from textinv.generation.attention_weights import has_attention_weights
from textinv.generation.infotext import Infotext
from textinv.generation.noise_schedulers import find_scheduler_kind
from textinv.generation.request import GenerateRequest

_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")
_WHOLE = re.compile(r"\d{1,19}")
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,9})?")


def read_request(infotext: Infotext) -> GenerateRequest:
    """Make the request that an infotext tells of; what it does not say, or says in words unknown, stays at its default.

    Brackets in a prompt are attention weights, unless it says otherwise (`Emphasis: None`). The pictures of an edit are
    not in an infotext: its request has none.

    Raises:
        RequestError: it names a noise scheduler that there is none of.
    """
    said = infotext.settings
    weighted = said.get("Emphasis") != "None" and any(
        map(has_attention_weights, (infotext.prompt, infotext.negative_prompt))
    )
    request = GenerateRequest(infotext.prompt, infotext.negative_prompt, attention_weights=weighted)
    if _WHOLE.fullmatch(said.get("Steps", "")):
        request = replace(request, num_inference_steps=int(said["Steps"]))
    if _WHOLE.fullmatch(said.get("Seed", "")):
        request = replace(request, seed=int(said["Seed"]))
    if _NUMBER.fullmatch(said.get("CFG scale", "")):
        request = replace(request, guidance_scale=float(said["CFG scale"]))
    if size := _SIZE.fullmatch(said.get("Size", "")):
        request = replace(request, width_px=int(size[1]), height_px=int(size[2]))
    if sampler := said.get("Sampler"):
        request = replace(request, noise_scheduler=find_scheduler_kind(sampler, said.get("Schedule type")).name)
    return request
