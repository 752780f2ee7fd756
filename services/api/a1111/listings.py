"""What A1111's clients ask before they draw: embeddings, options, samplers, checkpoints, memory, and empty lists."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from services.api.a1111.answers import SHORT_HASH
from services.api.answering import header_list
from services.api.callers import Caller, may_draw
from services.desk import Desk, in_thread
from services.drawing.studio import StudioFacts
from textinv.errors import RequestError
from textinv.generation.request import MAX_CLIP_SKIP
from textinv.models.process import SCHEDULER_KINDS, find_scheduler_kind
from textinv.registry import ConceptSummary

router = APIRouter(prefix="/sdapi/v1", tags=["a1111"])
_CHECKPOINT = "sd_model_checkpoint"
CLIP_SKIP = "CLIP_stop_at_last_layers"


@router.get("/embeddings")
async def embeddings(request: Request, caller: Caller = may_draw) -> dict[str, Any]:
    """List stored concepts: those that belong to the base model, and the others."""
    desk: Desk = request.app.state.desk
    facts = await desk.facts()
    lists: dict[str, dict[str, Any]] = {"loaded": {}, "skipped": {}}
    for one in await in_thread(desk.concepts.all):
        if not one.name.startswith(caller.name_prefix):
            continue
        lists["loaded" if facts.fits(one, desk.config.bases) else "skipped"][one.name] = _embedding(one)
    return lists


@router.post("/refresh-embeddings")
async def refresh_embeddings(request: Request, _: Caller = may_draw) -> None:
    """Read the list of concepts again at the next question; drawing needs no refreshing."""
    request.app.state.desk.concepts.forget()


@router.get("/options")
async def options(request: Request, _: Caller = may_draw) -> dict[str, Any]:
    """Show the options that clients read."""
    return _options(await request.app.state.desk.facts())


@router.post("/options")
async def set_options(sent: dict[str, Any], request: Request, response: Response, _: Caller = may_draw) -> None:
    """Take options back; one that differs from what holds here is an error when it is the checkpoint, else ignored."""
    desk: Desk = request.app.state.desk
    facts = await desk.facts()
    check_checkpoint(desk, sent)
    if ignored := ignored_options(facts, sent):
        response.headers["x-textinv-ignored"] = header_list(ignored)


@router.get("/sd-models")
async def sd_models(request: Request, _: Caller = may_draw) -> list[dict[str, Any]]:
    """List the base model."""
    facts = await request.app.state.desk.facts()
    return [
        {
            "title": _title(facts),
            "model_name": facts.base_model,
            "hash": facts.base_revision[:SHORT_HASH],
            "sha256": facts.base_revision,
            "filename": facts.base_model,
            "config": None,
        }
    ]


@router.post("/refresh-checkpoints")
@router.post("/reload-checkpoint")
@router.post("/unload-checkpoint")
async def nothing_to_load(_: Caller = may_draw) -> dict[str, Any]:
    """Change nothing: this service draws with one base model, which stays where it is."""
    return {}


@router.get("/samplers")
async def samplers(_: Caller = may_draw) -> list[dict[str, Any]]:
    """List noise schedulers by A1111's names."""
    return [{"name": kind.a1111_name, "aliases": [kind.name, *kind.aliases], "options": {}} for kind in SCHEDULER_KINDS]


@router.get("/schedulers")
async def schedulers(_: Caller = may_draw) -> list[dict[str, Any]]:
    """List schedule types."""
    labels = {"automatic": "Automatic"} | {
        kind.schedule_type.lower(): kind.schedule_type for kind in SCHEDULER_KINDS if kind.schedule_type
    }
    return [
        {"name": name, "label": label, "aliases": None, "default_rho": -1, "need_inner_model": False}
        for name, label in labels.items()
    ]


@router.get("/loras")
@router.get("/hypernetworks")
@router.get("/upscalers")
@router.get("/latent-upscale-modes")
@router.get("/prompt-styles")
@router.get("/face-restorers")
@router.get("/realesrgan-models")
@router.get("/sd-vae")
async def nothing_of_the_kind(_: Caller = may_draw) -> list[Any]:
    """List what this service does not have."""
    return []


@router.get("/scripts")
async def scripts(_: Caller = may_draw) -> dict[str, list[str]]:
    """List what this service does not have."""
    return {"txt2img": [], "img2img": []}


@router.get("/memory")
async def memory(request: Request, _: Caller = may_draw) -> dict[str, Mapping[str, Any]]:
    """Show the memory, in bytes, that one of the processes that draw uses of its machine and of its GPU."""
    found = await request.app.state.desk.studio.memory()
    return {"ram": found.ram, "cuda": {"error": "unavailable"} if found.cuda is None else found.cuda}


@router.get("/cmd-flags")
async def cmd_flags(request: Request, _: Caller = may_draw) -> dict[str, Any]:
    """Show those of A1111's command line flags that mean something here, with what holds here."""
    desk: Desk = request.app.state.desk
    facts = await desk.facts()
    return {
        "api": True,
        "ckpt": facts.base_model,
        "max_batch_count": desk.config.max_num_images,
        "cors_allow_origins": ",".join(desk.config.cors_origins) or None,
        "api_log": desk.config.log_prompts,
    }


def check_checkpoint(desk: Desk, settings: Any) -> None:
    """Check that settings which a client sends name no other checkpoint.

    Raises:
        RequestError: they do.
    """
    asked = settings.get(_CHECKPOINT) if isinstance(settings, Mapping) else None
    facts = desk.known_facts
    if asked in (None, "") or facts is None or asked in (_title(facts), facts.base_model, desk.config.base_model):
        return
    raise RequestError(
        f"there is no checkpoint {str(asked)[:80]!r} here; this service draws with {_title(facts)!r}", param=_CHECKPOINT
    )


def clip_skip_of(facts: StudioFacts, settings: Any) -> int | None:
    """The layer that is asked for; None where A1111 reads the base model's own one, whatever it is asked for.

    Raises:
        RequestError: it is no number of layers.
    """
    asked = settings.get(CLIP_SKIP) if isinstance(settings, Mapping) else None
    if asked is None:
        return None
    if not isinstance(asked, int) or isinstance(asked, bool) or not 1 <= asked <= MAX_CLIP_SKIP:
        raise RequestError(f"{CLIP_SKIP} is {str(asked)[:40]!r}; write 1 for the last layer, 2 for the one before it")
    return asked if facts.skips_elsewhere else None


def ignored_options(facts: StudioFacts, settings: Mapping[str, Any]) -> list[str]:
    """The settings that differ from what holds here, in order; of the checkpoint see `check_checkpoint`."""
    current = _options(facts)
    return sorted(key for key, value in settings.items() if key != _CHECKPOINT and current.get(key) != value)


def _options(facts: StudioFacts) -> dict[str, Any]:
    return {
        _CHECKPOINT: _title(facts),
        "sd_checkpoint_hash": facts.base_revision,
        "samples_format": "png",
        "sd_vae": "Automatic",
        CLIP_SKIP: facts.clip_skip,
        "steps": facts.num_inference_steps,
        "cfg_scale": facts.guidance_scale,
        "sampler_name": find_scheduler_kind(facts.noise_scheduler).a1111_name,
        "enable_pnginfo": True,
    }


def _title(facts: StudioFacts) -> str:
    return f"{facts.base_model} [{facts.base_revision[:SHORT_HASH]}]"


def _embedding(one: ConceptSummary) -> dict[str, Any]:
    return {
        "step": None,
        "sd_checkpoint": one.base_revision[:SHORT_HASH],
        "sd_checkpoint_name": one.base_model,
        "shape": next(iter(one.widths.values()), 0),
        "vectors": one.num_vectors,
    }
