"""Examples of requests and answers for the OpenAPI page, by method and path.

Owns the data. A test sends each request, and compares the fields of each answer with those of a real one.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from textinv.jobs.advice import why_stopped

_PNG = "iVBORw0KGgoAAAANSUhEUg..."
_DIGEST = "3f1c07a2b9d4" + "0" * 52
_REVISION = "9ad0c3e1f2b4" + "0" * 52
_CREATED = "2026-01-01T12:00:00+00:00"


class Example(NamedTuple):
    """A request's body and the JSON of its answer; None where there is none."""

    request: Any
    answer: Any


_PICTURES = {
    "created": 1767268800,
    "data": [{"b64_json": _PNG, "seed": 7}],
    "size": "64x64",
    "output_format": "png",
    "background": "opaque",
    "concepts": {"dotty-fox@1": _DIGEST},
}
_MODEL = {
    "id": "emoji",
    "object": "model",
    "created": 1767268800,
    "owned_by": "textinv",
    "base_model": "emoji",
    "revision": _REVISION,
    "family": "sd1",
    "num_inference_steps": 25,
    "guidance_scale": 4.0,
    "noise_scheduler": "dpmpp-2m",
    "native_px": 64,
    "screened": False,
    "guess": _DIGEST,
    "uploads": {
        "max_px": 16_777_216,
        "max_bytes": 33_554_432,
        "media_types": ["image/png", "image/jpeg", "image/webp", "image/bmp", "image/tiff", "image/gif"],
    },
}
_CONCEPT = {
    "object": "concept",
    "name": "dotty-fox",
    "placeholder": "<dotty-fox>",
    "version": 1,
    "created": _CREATED,
    "digest": _DIGEST,
    "base_model": "emoji",
    "base_revision": _REVISION,
    "num_vectors": 2,
    "widths": {"text_encoder": 192},
}
_TXT2IMG = {"prompt": "a (dotty-fox:1.2) on a hill", "steps": 20, "cfg_scale": 4.0, "seed": 7, "batch_size": 1}
_TITLE = f"emoji [{_REVISION[:10]}]"
_OPTIONS = {
    "sd_model_checkpoint": _TITLE,
    "sd_checkpoint_hash": _REVISION,
    "samples_format": "png",
    "sd_vae": "Automatic",
    "CLIP_stop_at_last_layers": 1,
    "steps": 25,
    "cfg_scale": 4.0,
    "sampler_name": "DPM++ 2M",
    "enable_pnginfo": True,
}
_INFOTEXT = "a hill\nSteps: 20, Sampler: DPM++ 2M, CFG scale: 4, Seed: 7, Size: 64x64, Model: emoji"
_A1111_PICTURES = {
    "images": [_PNG],
    "parameters": {"prompt": _TXT2IMG["prompt"], "steps": 20, "seed": 7},
    "info": f'{{"seed": 7, "all_seeds": [7], "infotexts": ["{_INFOTEXT.splitlines()[0]}..."]}}',
}
_NOTHING: tuple[str, ...] = (
    "loras",
    "hypernetworks",
    "upscalers",
    "latent-upscale-modes",
    "prompt-styles",
    "face-restorers",
    "realesrgan-models",
    "sd-vae",
)

EXAMPLES: Mapping[str, Example] = {
    "GET /healthz": Example(None, {"status": "ok"}),
    "GET /readyz": Example(None, {"status": "ready", "base_model": "emoji", "base_revision": _REVISION}),
    "POST /v1/images/generations": Example(
        {"prompt": "a watercolour of <dotty-fox> on a hill", "seed": 7, "num_inference_steps": 20}, _PICTURES
    ),
    "POST /v1/images/edits": Example(
        {
            "prompt": "a <dotty-fox> in the snow",
            "seed": 7,
            "strength": 0.6,
            "images": [{"image_url": f"data:image/png;base64,{_PNG}"}],
        },
        _PICTURES,
    ),
    "GET /v1/models": Example(None, {"object": "list", "data": [_MODEL]}),
    "GET /v1/models/{model}": Example(None, _MODEL),
    "GET /v1/concepts": Example(
        None,
        {
            "object": "list",
            "data": [
                {
                    **_CONCEPT,
                    "latest": 1,
                    "kind": "object",
                    "family": "sd1",
                    "thumbnail": "/v1/concepts/dotty-fox/thumbnail?version=1",
                }
            ],
            "has_more": False,
            "next": None,
            "total": 1,
            "base_models": ["emoji"],
        },
    ),
    "GET /v1/concepts/{name}": Example(
        None,
        _CONCEPT
        | {
            "run_id": "20260101T120000-0a1b2c3d4e",
            "record": {"steps": 400, "stopped": "converged"},
            "evaluation": None,
            "why_stopped": why_stopped("converged"),
            "previews": [{"file": "preview.png", "url": "https://s3.example.com/concepts/runs/..."}],
            "versions": [
                {
                    "object": "concept.version",
                    "name": "dotty-fox",
                    "placeholder": "<dotty-fox@1>",
                    "version": 1,
                    "created": _CREATED,
                    "run_id": "20260101T120000-0a1b2c3d4e",
                    "fingerprint": "5d" * 32,
                    "digest": _DIGEST,
                    "base_model": "emoji",
                    "current": True,
                    "held": None,
                    "pinned": [],
                }
            ],
        },
    ),
    "DELETE /v1/concepts/{name}": Example(
        None, {"object": "concept.deleted", "name": "dotty-fox", "version": None, "deleted": True}
    ),
    "DELETE /v1/concepts/{name}/versions/{version}": Example(
        None, {"object": "concept.deleted", "name": "dotty-fox", "version": 1, "deleted": True}
    ),
    "POST /v1/concepts/guess": Example(
        {"name": "my-crab", "kind": "object", "class_word": "crab", "images": [_PNG]},
        {
            "object": "concept.guess",
            "name": "my-crab",
            "placeholder": "<my-crab@guess>",
            "prompt": "a photo of a <my-crab@guess>",
            "expires": "2026-01-01T13:00:00+00:00",
            "expires_in_s": 3600,
            "kind": "object",
            "class_word": "crab",
            "pictures": 1,
            "num_vectors": 4,
            "digest": _DIGEST,
            "guess": _DIGEST,
            "base_model": "emoji",
            "base_revision": _REVISION,
        },
    ),
    "POST /v1/concepts/{name}/rollback": Example(
        {"version": 1},
        {"object": "concept", "name": "dotty-fox", "version": 1, "digest": _DIGEST, "changed": True, "note": None},
    ),
    "POST /sdapi/v1/txt2img": Example(_TXT2IMG, _A1111_PICTURES),
    "POST /sdapi/v1/img2img": Example(_TXT2IMG | {"init_images": [_PNG], "denoising_strength": 0.6}, _A1111_PICTURES),
    "GET /sdapi/v1/embeddings": Example(
        None,
        {
            "loaded": {
                "dotty-fox": {
                    "step": None,
                    "sd_checkpoint": _REVISION[:10],
                    "sd_checkpoint_name": "emoji",
                    "shape": 192,
                    "vectors": 2,
                }
            },
            "skipped": {},
        },
    ),
    "POST /sdapi/v1/refresh-embeddings": Example(None, None),
    "POST /sdapi/v1/refresh-checkpoints": Example(None, {}),
    "POST /sdapi/v1/reload-checkpoint": Example(None, {}),
    "POST /sdapi/v1/unload-checkpoint": Example(None, {}),
    "GET /sdapi/v1/options": Example(None, _OPTIONS),
    "POST /sdapi/v1/options": Example({"samples_format": "png"}, None),
    "GET /sdapi/v1/sd-models": Example(
        None,
        [
            {
                "title": _TITLE,
                "model_name": "emoji",
                "hash": _REVISION[:10],
                "sha256": _REVISION,
                "filename": "emoji",
                "config": None,
            }
        ],
    ),
    "GET /sdapi/v1/samplers": Example(None, [{"name": "Euler a", "aliases": ["euler-a", "k_euler_a"], "options": {}}]),
    "GET /sdapi/v1/schedulers": Example(
        None,
        [{"name": "karras", "label": "Karras", "aliases": None, "default_rho": -1, "need_inner_model": False}],
    ),
    "GET /sdapi/v1/scripts": Example(None, {"txt2img": [], "img2img": []}),
    **{f"GET /sdapi/v1/{name}": Example(None, []) for name in _NOTHING},
    "GET /sdapi/v1/progress": Example(
        None,
        {
            "progress": 0.4,
            "eta_relative": 1.5,
            "state": {
                "skipped": False,
                "interrupted": False,
                "stopping_generation": False,
                "job": "draw",
                "job_count": 1,
                "job_timestamp": "20260101120000",
                "job_no": 0,
                "sampling_step": 8,
                "sampling_steps": 20,
            },
            "current_image": _PNG,
            "textinfo": "1 of your requests are being drawn",
        },
    ),
    "POST /internal/progress": Example(
        {"id_task": "task(a1b2)", "id_live_preview": -1, "live_preview": True},
        {
            "active": True,
            "queued": False,
            "completed": False,
            "progress": 0.4,
            "eta": 1.5,
            "live_preview": "data:image/png;base64," + _PNG,
            "id_live_preview": 3405691582,
            "textinfo": None,
        },
    ),
    "GET /sdapi/v1/memory": Example(
        None,
        {
            "ram": {"free": 24_000_000_000, "used": 1_000_000_000, "total": 25_000_000_000},
            "cuda": {"error": "unavailable"},
        },
    ),
    "GET /sdapi/v1/cmd-flags": Example(
        None, {"api": True, "ckpt": "emoji", "max_batch_count": 10, "cors_allow_origins": None, "api_log": False}
    ),
    "POST /sdapi/v1/interrupt": Example(None, {}),
    "POST /sdapi/v1/skip": Example(None, {}),
    "POST /sdapi/v1/png-info": Example(
        {"image": _PNG},
        {
            "info": _INFOTEXT,
            "items": {"parameters": _INFOTEXT},
            "parameters": {"Prompt": "a hill", "Negative prompt": "", "Steps": "20", "Seed": "7"},
        },
    ),
}
