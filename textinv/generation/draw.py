"""Drawing without a service: requests in, pictures out, in the caller's own thread.

Owns nothing: a short-lived engine does the work. For the CLI, previews of training and evaluation.
"""

from collections.abc import Mapping, Sequence

from textinv.generation.engine import Engine
from textinv.generation.prompts import Mount
from textinv.generation.request import GeneratedImage, GenerateRequest
from textinv.generation.waiting_line import EngineLimits
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef

# Not measured here: measuring takes longer than the few pictures that this is for.
DEFAULT_BATCH = 16

Mounts = Mapping[ConceptRef, Mount]


def generate(
    model: BaseModel, request: GenerateRequest, mounts: Mounts | None = None, *, max_batch: int = DEFAULT_BATCH
) -> list[GeneratedImage]:
    """Draw the pictures of one request.

    Raises:
        TextinvError: as `Engine.submit` and `Ticket.result`.
    """
    return generate_all(model, [(request, mounts or {})], max_batch=max_batch)[0]


def generate_all(
    model: BaseModel, requests: Sequence[tuple[GenerateRequest, Mounts]], *, max_batch: int = DEFAULT_BATCH
) -> list[list[GeneratedImage]]:
    """Draw the pictures of many requests, each with its own mounts, in shared batches.

    Raises:
        TextinvError: as `Engine.submit` and `Ticket.result`, for the first request that failed.
    """
    total = sum(request.num_images for request, _ in requests)
    engine = Engine(model, max_batch=max_batch, limits=EngineLimits(max_waiting=total))
    tickets = [engine.submit(request, mounts) for request, mounts in requests]
    engine.run_until_idle()
    return [ticket.result(timeout=0) for ticket in tickets]
