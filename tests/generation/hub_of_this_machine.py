"""A model hub on this machine that the hub's own client reads: one repository, one commit, the files of a folder."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

REPOSITORY, COMMIT = "acme/screened", "c" * 40


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder; its URL, and the paths of the files that were fetched."""
    fetched: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(folder, fetched))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", fetched
    finally:
        server.shutdown()
        server.server_close()


def _handler(folder: Path, fetched: list[str]) -> type[BaseHTTPRequestHandler]:
    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _answer(self, with_body: bool) -> None:
            path = self.path.partition("?")[0].lstrip("/")
            about, file = f"api/models/{REPOSITORY}/", path.removeprefix(f"{REPOSITORY}/resolve/{COMMIT}/")
            if path.startswith((f"{about}revision/", f"{about}tree/")):
                found = _listing(folder)
                body = json.dumps(found if "/tree/" in path else {"id": REPOSITORY, "sha": COMMIT, "siblings": []})
                self._send(body.encode(), with_body)
            elif file != path and (folder / file).is_file():
                fetched.extend([file] if with_body else [])
                self._send((folder / file).read_bytes(), with_body)
            else:
                self.send_error(404)

        def _send(self, body: bytes, with_body: bool) -> None:
            self.send_response(200)
            self.send_header("ETag", f'"{_sha1(body)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    return Hub


def _listing(folder: Path) -> list[dict[str, Any]]:
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return [
        {
            "type": "file",
            "path": file.relative_to(folder).as_posix(),
            "size": file.stat().st_size,
            "oid": _sha1(file.read_bytes()),
        }
        for file in files
    ]


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
