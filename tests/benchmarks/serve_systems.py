"""The services that are measured: ours, and two that call the diffusers pipeline.

`PerRequest` is Ray's own example (ray-project/ray, doc/source/serve/doc_code/stable_diffusion.py): an ingress with
FastAPI and a replica that calls the pipeline for each request. `Batched` collects requests with `@serve.batch` and runs
each batch to completion, those with equally many steps in one call, as the pipeline has one number of steps per call.
Both have every concept loaded at start-up by `load_textual_inversion`, which spares them what they cannot do: use one
that was stored later. All three replicas have the same weights, dtype, noise scheduler and threads; the UNet
of the pipelines lies in memory as diffusers loads it.
"""

import io
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from fastapi import FastAPI
from fastapi.responses import Response
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from textinv.demo import WEIGHTS
from textinv.models.placement import Placement

Rows = Mapping[str, torch.Tensor]

per_request_app = FastAPI()
batched_app = FastAPI()


def load_pipeline(rows: Rows, dtype: torch.dtype) -> Any:
    """Load the demo base as a diffusers pipeline with all concepts in its vocabulary."""
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    pipe = StableDiffusionPipeline.from_pretrained(WEIGHTS, torch_dtype=dtype, safety_checker=None)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    for name, row in rows.items():
        pipe.load_textual_inversion({f"<{name}>": row}, token=f"<{name}>")
    return pipe.to(device)


def as_png(image: Any) -> bytes:
    """Encode as the example does."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


class PerRequest:
    """One call of the pipeline per request."""

    def __init__(self, rows: Rows, dtype: torch.dtype) -> None:
        self._pipe = load_pipeline(rows, dtype)

    def generate(self, prompt: str, steps: int, seed: int) -> bytes:
        """Draw one picture."""
        generator = torch.Generator("cpu").manual_seed(seed)
        drawn = self._pipe(prompt, num_inference_steps=steps, guidance_scale=4.0, generator=generator)
        return as_png(drawn.images[0])


class Batched:
    """One call of the pipeline per batch and number of steps; `like_ours` lays its UNet out in memory as ours is."""

    def __init__(self, rows: Rows, dtype: torch.dtype, max_batch: int, like_ours: bool = False) -> None:
        self._pipe = load_pipeline(rows, dtype)
        if like_ours:
            self._pipe.unet = Placement(self._pipe.unet.device, dtype).place_unet(self._pipe.unet)
        self.collect.set_max_batch_size(max_batch)
        self.collect.set_batch_wait_timeout_s(0.01)

    async def generate(self, prompt: str, steps: int, seed: int) -> bytes:
        """Draw one picture, together with others."""
        picture: bytes = await self.collect((prompt, steps, seed))
        return picture

    @serve.batch
    async def collect(self, asked: list[tuple[str, int, int]]) -> list[bytes]:
        """Draw a batch to its end, with the event loop held, as Ray's examples do.

        In a thread, batches would be closed 10 ms after their first request, even while another one is drawn, and then
        wait their turn as small as they are.
        """
        return self.draw(asked)

    def draw(self, asked: list[tuple[str, int, int]]) -> list[bytes]:
        """Draw pictures to their end, those of equally many steps together."""
        by_steps: dict[int, list[int]] = defaultdict(list)
        for place, (_, steps, _) in enumerate(asked):
            by_steps[steps].append(place)
        drawn: dict[int, bytes] = {}
        for steps, places in by_steps.items():
            generators = [torch.Generator("cpu").manual_seed(asked[place][2]) for place in places]
            prompts = [asked[place][0] for place in places]
            images = self._pipe(prompts, num_inference_steps=steps, guidance_scale=4.0, generator=generators).images
            drawn |= {place: as_png(image) for place, image in zip(places, images, strict=True)}
        return [drawn[place] for place in range(len(asked))]


@serve.ingress(per_request_app)
class PerRequestIngress:
    """HTTP before `PerRequest`."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    @per_request_app.get("/imagine")
    async def imagine(self, prompt: str, steps: int, seed: int) -> Response:
        """Answer with a PNG."""
        return Response(await self._handle.generate.remote(prompt, steps, seed), media_type="image/png")


@serve.ingress(batched_app)
class BatchedIngress:
    """HTTP before `Batched`."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    @batched_app.get("/imagine")
    async def imagine(self, prompt: str, steps: int, seed: int) -> Response:
        """Answer with a PNG."""
        return Response(await self._handle.generate.remote(prompt, steps, seed), media_type="image/png")


def per_request(rows: Rows, dtype: torch.dtype, num_gpus: float) -> Application:
    """Build Ray's example."""
    replica = _replica(PerRequest, num_gpus).options(max_ongoing_requests=1)
    return _ingress(PerRequestIngress).bind(replica.bind(rows, dtype))


def batched(rows: Rows, dtype: torch.dtype, num_gpus: float, max_batch: int) -> Application:
    """Build the service that batches requests to completion."""
    replica = _replica(Batched, num_gpus).options(max_ongoing_requests=2 * max_batch)
    return _ingress(BatchedIngress).bind(replica.bind(rows, dtype, max_batch))


def _replica(kind: type, num_gpus: float) -> Any:
    return serve.deployment(kind).options(ray_actor_options={"num_cpus": 1, "num_gpus": num_gpus})


def _ingress(kind: Any) -> Any:
    return serve.deployment(kind).options(max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0})
