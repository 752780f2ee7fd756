"""Routes of the page's files.

Owns their headers: a Content-Security-Policy under which no text of a concept, prompt or record can become a script,
whatever it holds.
"""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response

from textinv.errors import ObjectNotFoundError

router = APIRouter(include_in_schema=False)
_FOLDER = Path(__file__).parent / "files"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


FILES = {str(path.relative_to(_FOLDER)): path for path in _FOLDER.rglob("*") if path.suffix in _TYPES}
"""All there are: whatever else an address says is not looked for on a disk."""


@router.get("/")
async def page() -> Response:
    """The page."""
    return _file(FILES["index.html"])


@router.get("/page/{path:path}")
async def page_file(path: str) -> Response:
    """One of the page's files."""
    if path not in FILES:
        raise ObjectNotFoundError(f"there is no file {path[:80]!r} of the page")
    return _file(FILES[path])


def _file(path: Path) -> Response:
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix], headers=HEADERS)
