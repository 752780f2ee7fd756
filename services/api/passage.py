"""What every request passes through: a request id, a bound on the body, headers for browsers, one line in the log.

A plain ASGI wrapper, because Starlette's `BaseHTTPMiddleware` hides a client's leaving from the routes.
"""

import json
import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.errors import error_body
from services.log_lines import Facts, note, notes_of

log = logging.getLogger("services.requests")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TOO_LARGE = 413
# Nothing that is answered is a page of its own, whatever bytes a picture or a name holds; those that are say so.
_INERT = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# FastAPI's pages of the interface: files of ours, and one script in the page.
_DOCS = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_DOCS_PATHS = ("/docs", "/redoc")


class Passage:
    """Wraps an application."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, tells_request_id: bool) -> None:
        self._app = app
        self._tells_request_id = tells_request_id
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        asked = headers.get("x-request-id", "")
        request_id = asked if _REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        trip = _Trip(receive, send, request_id, self._max_body_bytes)
        trip.policy = _DOCS if scope["path"] in _DOCS_PATHS else _INERT
        trip.tells_request_id = self._tells_request_id
        length = headers.get("content-length", "0")
        with notes_of(request_id) as notes:
            try:
                if length.isdecimal() and len(length) < 20 and int(length) > self._max_body_bytes:
                    await trip.refuse()
                else:
                    await self._app(scope, trip.receive, trip.send)
            finally:
                answered = {"method": scope["method"], "path": scope["path"], "status": trip.status, "ms": trip.age_ms}
                log.info(Facts(**answered | notes))


class _Trip:
    """One request on its way."""

    def __init__(self, receive: Receive, send: Send, request_id: str, max_body_bytes: int) -> None:
        self.request_id = request_id
        self.tells_request_id = True
        self.policy = _INERT
        self.status: int | None = None
        self.began_at = time.monotonic()
        self._receive = receive
        self._send = send
        self._max_body_bytes = max_body_bytes
        self._num_bytes = 0

    @property
    def age_ms(self) -> float:
        """Milliseconds since it began."""
        return round((time.monotonic() - self.began_at) * 1000, 1)

    async def receive(self) -> Message:
        message = await self._receive()
        self._num_bytes += len(message.get("body", b""))
        if self._num_bytes > self._max_body_bytes:
            raise HTTPException(_TOO_LARGE, self._refusal)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            if self.tells_request_id:
                headers["x-request-id"] = self.request_id
            headers.setdefault("content-security-policy", self.policy)
            headers.setdefault("x-content-type-options", "nosniff")
            # W3C Server Timing: milliseconds in here, so that a client can tell the service's share from the network's.
            headers["server-timing"] = f"service;dur={self.age_ms}"
        await self._send(message)

    async def refuse(self) -> None:
        """Answer without reading the body."""
        note(error="body_too_large")
        body = json.dumps(error_body(_TOO_LARGE, self._refusal, "body_too_large")).encode()
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": _TOO_LARGE, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    @property
    def _refusal(self) -> str:
        return f"the body is larger than {self._max_body_bytes} bytes; send less"
