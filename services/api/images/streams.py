"""Server-sent events of the image routes, as OpenAI's clients read them.

Owns their names and fields. Source: openai/openai-openapi, openapi.yaml, ImageGenPartialImageEvent and its siblings.
"""

import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from services.api.errors import error_of
from services.api.images.drawing import check_flagged, flag_of, learned_on_of, notes_of
from services.api.images.image_requests import DrawFields
from services.api.images.pictures import as_base64, encode_picture
from services.api.images.sizes import ChosenSize
from services.desk import computing
from services.drawing.studio import Begun, DrawEvent, Drawing, Drawn, Sketch
from services.log_lines import note
from textinv.errors import TextinvError

# Required by the schema; tokens are not what drawing is measured in here.
_USAGE = {
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
}


async def stream_events(
    kind: str,
    body: DrawFields,
    size: ChosenSize,
    begun: Begun,
    events: AsyncGenerator[DrawEvent, None],
) -> AsyncIterator[str]:
    """Write a draw as events `<kind>.partial_image` and `<kind>.completed`; a failure becomes an event `error`."""
    shown: Counter[int] = Counter()
    async with aclosing(events):
        try:
            async for event in events:
                if isinstance(event, Sketch) and shown[event.image] < body.partial_images:
                    index = shown[event.image]
                    shown[event.image] += 1
                    picture = await _picture(body, size, Drawing(event.pixels, 0, ""))
                    extras: dict[str, Any] = {"partial_image_index": index, "image_index": event.image}
                    yield _block(f"{kind}.partial_image", picture | extras)
                elif isinstance(event, Drawn):
                    check_flagged(event.drawings)
                    for index, drawing in enumerate(event.drawings):
                        extras = {"usage": _USAGE, "seed": drawing.seed, "image_index": index} | flag_of(drawing)
                        picture = await _picture(body, size, drawing)
                        yield _block(
                            f"{kind}.completed",
                            picture
                            | extras
                            | {"concepts": dict(begun.concepts)}
                            | learned_on_of(begun.learned_on)
                            | notes_of(begun.notes),
                        )
        except TextinvError as error:
            note(error=error.code)
            yield _block("error", error_of(error)[1])


async def _picture(body: DrawFields, size: ChosenSize, drawing: Drawing) -> dict[str, Any]:
    data = await computing(encode_picture, drawing, body.output_format, body.output_compression, size.resized)
    return {
        "b64_json": as_base64(data),
        "created_at": int(time.time()),
        "size": str(size.answered),
        "quality": "auto",
        "background": "opaque",
        "output_format": body.output_format,
    }


def _block(kind: str, fields: dict[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"
