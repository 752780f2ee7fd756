"""What A1111's image routes answer: `images`, `parameters`, and `info`, which is JSON in a string.

Source: A1111 `modules/processing.py`, `Processed.js`.
"""

import json
import time
from collections.abc import Sequence
from typing import Any

from services.api.a1111.fields import Txt2ImgBody
from services.api.images.drawing import Finished
from services.api.images.pictures import as_base64, encode_picture
from services.api.images.sizes import ChosenSize
from services.drawing.studio import StudioFacts
from textinv.generation.request import GenerateRequest
from textinv.models.process import find_scheduler_kind

SHORT_HASH = 10


def answer_of(
    body: Txt2ImgBody,
    wanted: GenerateRequest,
    size: ChosenSize,
    finished: Finished,
    facts: StudioFacts,
    ignored: Sequence[str],
) -> dict[str, Any]:
    """Make the answer to a request that was drawn (or interrupted, then without pictures)."""
    files = [encode_picture(drawing, "png", 100, size.resized) for drawing in finished.drawings]
    sent = body.model_dump(exclude={"init_images", "mask"})
    return {
        "images": [as_base64(file) for file in files] if body.send_images else [],
        "parameters": sent,
        "info": json.dumps(_info(wanted, size, finished, facts) | {"ignored": list(ignored)}),
    }


def _extra(size: ChosenSize, finished: Finished) -> dict[str, Any]:
    """What A1111 has no field for: the concepts, and the size that was drawn where another one is answered."""
    concepts = {"TI": dict(finished.concepts)} if finished.concepts else {}
    return concepts | ({"Drawn at": str(size.drawn), "Resized to": str(size.resized)} if size.resized else {})


def _info(wanted: GenerateRequest, size: ChosenSize, finished: Finished, facts: StudioFacts) -> dict[str, Any]:
    num_images = wanted.num_images
    infotexts = [drawing.infotext for drawing in finished.drawings]
    return {
        "prompt": wanted.prompt,
        "all_prompts": [wanted.prompt] * num_images,
        "negative_prompt": wanted.negative_prompt,
        "all_negative_prompts": [wanted.negative_prompt] * num_images,
        "seed": wanted.seed,
        "all_seeds": [wanted.seed + index for index in range(num_images)],
        "subseed": -1,
        "all_subseeds": [-1] * num_images,
        "subseed_strength": 0,
        "width": size.answered.width_px,
        "height": size.answered.height_px,
        "sampler_name": find_scheduler_kind(wanted.noise_scheduler).label,
        "cfg_scale": wanted.guidance_scale,
        "steps": wanted.num_inference_steps,
        "batch_size": num_images,
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": facts.base_model,
        "sd_model_hash": facts.base_revision[:SHORT_HASH],
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": wanted.strength if wanted.init_image is not None else None,
        "extra_generation_params": _extra(size, finished),
        "index_of_first_image": 0,
        "infotexts": infotexts,
        "flagged": [drawing.flagged for drawing in finished.drawings],
        "styles": [],
        "job_timestamp": time.strftime("%Y%m%d%H%M%S"),
        "clip_skip": wanted.clip_skip or facts.clip_skip,
        "is_using_inpainting_conditioning": False,
        "version": "textinv",
    }
