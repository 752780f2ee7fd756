"""From where a request may come: the host that it names, the page that sent it, and the kind of its body.

A browser sends requests for any page that it shows, to this machine's loopback too. So where no key is asked for, the
host must be an address, `localhost` or one that the operator named: a page of evil.example whose name was made to mean
127.0.0.1 says evil.example (DNS rebinding). What changes something is taken from the service's own page and from
`cors_origins` only, and with a body that a foreign page cannot send unasked. Programs send neither `Origin` nor
`Sec-Fetch-Site` and notice nothing of this. Who may do what is the matter of `callers`.
"""

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.errors import error_body
from services.config import ServiceConfig
from services.log_lines import note

_SAFE = ("GET", "HEAD", "OPTIONS")
_YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
OTHER_BODIES: dict[str, tuple[str, ...]] = {
    "/v1/jobs": _YAML,
    "/v1/images": ("*",),
    "/v1/images/edits": ("*",),
    "/v1/concepts/guess": ("multipart/form-data",),
    "/v1/images/settings": ("multipart/form-data",),
}
"""What routes take beside JSON; those of pictures look for themselves at what they are sent."""
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Gate:
    """Wraps an application."""

    def __init__(self, app: ASGIApp, config: ServiceConfig) -> None:
        self._app = app
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for status, code, message in self._objections(scope):
                note(error=code)
                await JSONResponse(error_body(status, message, code), status)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _objections(self, scope: Scope) -> Iterator[tuple[int, str, str]]:
        headers, config = Headers(scope=scope), self._config
        host = headers.get("host", "")
        if (config.hosts or not config.keys) and not _is_named(host, config.hosts):
            yield 403, "access_denied", f"this service is not {host[:80]!r}: `hosts` of its config names others"
        if scope["method"] in _SAFE:
            return
        if _is_of_another_page(headers, host, config.cors_origins):
            origin = headers.get("origin", "unknown")
            yield 403, "access_denied", f"a page of origin {origin[:80]!r} may not do this: `cors_origins` allows it"
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if _has_body(headers) and not _is_taken(kind, scope["path"]):
            sent = f"is of type {kind[:80]!r}" if kind else "comes without a type"
            yield (415, "unsupported_media_type", f"the body {sent}: send `content-type: application/json` with it")


def _is_named(host: str, hosts: tuple[str, ...]) -> bool:
    """Whether a `Host` can only have come from somebody who means this service."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return "*" in hosts or name in (one.lower() for one in hosts) or _is_local(name) or _is_address(name)


def _is_local(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_of_another_page(headers: Headers, host: str, cors_origins: tuple[str, ...]) -> bool:
    """Whether a browser sends this for a page that is neither the service's own nor allowed."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None and ("*" in cors_origins or origin in cors_origins):
        return False
    if site is not None:  # a page cannot choose it; browsers send it over TLS and to loopback
        return site not in ("same-origin", "none")
    if origin is None:
        return False
    scheme, _, place = origin.lower().partition("://")
    port = _DEFAULT_PORTS.get(scheme, "")
    return place.removesuffix(port) != host.lower().removesuffix(port)


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _is_taken(kind: str, path: str) -> bool:
    others = OTHER_BODIES.get(path, ())
    return kind == "application/json" or kind.endswith("+json") or kind in others or "*" in others
