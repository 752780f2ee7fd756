"""What a page needs beside a prompt box: what a prompt holds before it is drawn, and the settings of a picture.

Owns the two routes. A name that does not resolve is told, not an error: people are still typing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, File, Request, UploadFile
from pydantic import Field

from services.api.bodies import Body
from services.api.callers import Caller, may_draw
from services.api.images.hints import hints_for
from services.desk import Desk, computing, in_thread, missing_guess
from services.drawing.held_guesses import HeldGuess
from services.drawing.studio import StudioFacts
from textinv.errors import AccessError, CorruptObjectError, InputError, RequestError, UnknownConceptError
from textinv.generation.infotext import read_infotext, read_png_infotext
from textinv.generation.request import GenerateRequest, read_request
from textinv.placeholders import GUESS, ConceptRef, concepts_of, expand_aliases, mentions_in, refs_in

router = APIRouter(tags=["prompts"])
_MAX_CONCEPTS = 64
"""Named in one prompt: each is looked up in the store."""


class PromptBody(Body):
    """Body of `POST /v1/prompts`."""

    prompt: str = Field(max_length=32_000, examples=["a watercolour of <dotty-fox> on a hill"])
    """What is to be drawn."""


@router.post("/v1/prompts")
async def look_at_prompt(body: PromptBody, request: Request, caller: Caller = may_draw) -> dict[str, Any]:
    """Say which concepts of a prompt resolve, and how much of the text encoder's window it takes."""
    desk: Desk = request.app.state.desk
    text = expand_aliases(body.prompt)
    refs, facts = _refs(text), await desk.facts()
    if len(refs) > _MAX_CONCEPTS:
        raise RequestError(
            f"the prompt names {len(refs)} concepts; at most {_MAX_CONCEPTS} are looked up", param="prompt"
        )
    guessed = await desk.guesses.held(caller.id, [ref.name for ref in refs if ref.version == GUESS])
    concepts = [await in_thread(_concept, desk, ref, caller, facts, guessed) for ref in refs]
    known = {one["ref"]: one["vectors"] or 1 for one in concepts}
    vectors = {str(mention): known[concepts_of(mention)[0]] for mention in mentions_in(text)}
    room = await desk.studio.measure(text, vectors)
    return {
        "object": "prompt",
        "tokens": room.num_tokens,
        "window": room.window,
        "chunks": room.num_windows,
        "hints": hints_for(desk, caller, text),
        "concepts": [{name: value for name, value in one.items() if name != "ref"} for one in concepts],
    }


@router.post("/v1/images/settings")
async def read_settings(
    image: Annotated[UploadFile, File(description="A PNG that was drawn here, or by AUTOMATIC1111's web UI.")],
    request: Request,
    _: Caller = may_draw,
) -> dict[str, Any]:
    """Read back from a picture with which settings it was drawn."""
    desk: Desk = request.app.state.desk
    facts = await desk.facts()
    return await computing(_settings_of, await image.read(), desk.config.max_upload_px, facts)


def _refs(prompt: str) -> list[ConceptRef]:
    try:
        return refs_in(prompt)
    except InputError as error:
        raise RequestError(error.message, param="prompt") from error


def _settings_of(png: bytes, max_px: int, facts: StudioFacts) -> dict[str, Any]:
    text = read_png_infotext(png, max_px)
    if not text:
        raise RequestError(
            "the picture does not tell how it was drawn: choose a PNG exactly as it was downloaded", param="image"
        )
    infotext = read_infotext(text)
    read = read_request(infotext)
    if not facts.skips_elsewhere and not infotext.settings.get("Version", "").startswith("textinv"):
        read = replace(read, clip_skip=None)  # others write it all the same, and read its own layer
    return {
        "object": "settings",
        "prompt": read.prompt,
        "negative_prompt": read.negative_prompt,
        "seed": read.seed,
        "num_inference_steps": read.num_inference_steps or facts.num_inference_steps,
        "guidance_scale": facts.guidance_scale if read.guidance_scale is None else read.guidance_scale,
        "guidance_rescale": read.guidance_rescale,
        "clip_skip": read.clip_skip,
        "instruction": read.instruction,
        **_sizes_of(read),
        "noise_scheduler": read.noise_scheduler,
        "attention_weights": read.attention_weights,
        "size": f"{read.width_px}x{read.height_px}" if read.width_px and read.height_px else "auto",
        "concepts": [{"placeholder": f"<{ref}>", "digest": digest} for ref, digest in infotext.concept_hashes.items()],
    }


def _sizes_of(read: GenerateRequest) -> dict[str, str | None]:
    """What was told of sizes, as the fields of a request."""
    said = read.sizes.settings().values() if read.sizes else [None] * 3
    return dict(zip(("original_size", "crop_top_left", "target_size"), said, strict=True))


def _guess(ref: ConceptRef, held: HeldGuess | None) -> dict[str, Any]:
    """What is told of a guess; its version is `guess`."""
    told = {"ref": ref, "name": ref.name, "version": "guess", "vectors": None, "resolved": False}
    if held is None:
        return told | {"problem": missing_guess(ref)}
    return told | {"vectors": held.embedding.num_vectors, "resolved": True, "problem": None}


def _concept(
    desk: Desk, ref: ConceptRef, caller: Caller, facts: StudioFacts, guessed: Mapping[str, HeldGuess]
) -> dict[str, Any]:
    if ref.version == GUESS:
        return _guess(ref, guessed.get(ref.name))
    told: dict[str, Any] = {"ref": ref, "name": ref.name, "version": ref.version, "vectors": None, "resolved": False}
    try:
        caller.check_concepts([ref])
        if ref.version is None:
            entry = desk.registry.current_entry(ref.name)
        else:
            entry = desk.registry.entry(ref.name, ref.version)
    except (UnknownConceptError, AccessError, CorruptObjectError) as error:
        return told | {"problem": error.message}
    told |= {"version": entry.version, "vectors": entry.num_vectors}
    if not facts.fits(entry, desk.config.bases):
        return told | {"problem": f"version {entry.version} is for another base model, {entry.base_model}"}
    return told | {"resolved": True, "problem": None}
