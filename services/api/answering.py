"""How any request is answered: for as long as its client is there, once for its `Idempotency-Key`.

Owns noticing that a client has left, and headers that every client can read. Does not know any route's format.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from fastapi import Request

from services.answers.idempotency import Reply
from services.api.callers import Caller
from services.desk import Desk

T = TypeVar("T")

KEY_HEADER = "idempotency-key"
_MAX_HEADER_CHARS = 2000
# A name, a version and a short digest fit.
_MAX_PIECE_CHARS = 100
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


class ClientGoneError(Exception):
    """The client closed its connection before the answer was there."""


async def answer_once(
    desk: Desk, request: Request, caller: Caller, asked: bytes, work: Callable[[], Coroutine[Any, Any, Reply]]
) -> Reply:
    """Answer what was `asked` by doing `work`; with an `Idempotency-Key` it is done once, and runs on without a client.

    Raises:
        ClientGoneError: the client has gone.
        RequestError: the key was used for another request.
        TextinvError: as `work`.
    """
    key = request.headers.get(KEY_HEADER)
    return await unless_gone(request, work() if key is None else desk.replies.once(caller.id, key, asked, work))


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do work for a client and cancel it when the client closes its connection.

    Raises:
        ClientGoneError: the client has gone.
    """
    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        return task.result()
    finally:
        for one in (task, watch):
            one.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


def header_list(pieces: Sequence[str]) -> str:
    """Join pieces for a header, with commas; those without room are counted (`and 7 more`).

    A control character in a header breaks the connection, and clients refuse an answer whose headers take more than 8
    to 64 KB together: of a long piece the beginning is kept, and what is not printable ASCII becomes a question mark.
    """
    kept: list[str] = []
    room = _MAX_HEADER_CHARS - len(f", and {len(pieces)} more")
    for piece in pieces:
        text = _UNPRINTABLE.sub("?", piece[:_MAX_PIECE_CHARS])
        room -= len(text) + len(", ")
        if room < 0:
            kept.append(f"and {len(pieces) - len(kept)} more")
            break
        kept.append(text)
    return ", ".join(kept).strip()


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
