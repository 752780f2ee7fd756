"""Where rows start, pinned when a manifest is planned.

Owns turning `init` into what a spec holds: a text, `auto`, or the bytes of an embedding, so that a registry entry that
moves or a file that changes later does not change the spec.
"""

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from textinv.errors import TextinvError
from textinv.manifest.fields import Manifest
from textinv.manifest.origin import Problem
from textinv.manifest.rules import EMBEDDING_FILE, parse_ref_or_none
from textinv.placeholders import ConceptRef
from textinv.plan.resolve import Values

if TYPE_CHECKING:
    from textinv.registry import Registry


class Initializers:
    """Pins initializers of one manifest; each embedding is read once."""

    def __init__(self, manifest: Manifest, registry: "Registry | None") -> None:
        self._manifest = manifest
        self._registry = registry
        self._known: dict[str, tuple[str, str]] = {}

    def pin(self, values: Values, index: int, problems: list[Problem]) -> tuple[str, str | None]:
        """The label of an initializer, and its embedding in base64 if it is one."""
        stated = values.stated("init") or values.stated("class_word") or "auto"
        init = str(stated).strip()
        ref = parse_ref_or_none(init)
        if ref is None and not init.startswith(EMBEDDING_FILE):
            return init, None
        try:
            if init not in self._known:
                self._known[init] = self._published(ref) if ref else self._file(init)
            return self._known[init]
        except TextinvError as error:
            problems.append(self._manifest.origin.problem(values.place(index, "init"), error.message))
            return init, None

    def _published(self, ref: ConceptRef) -> tuple[str, str]:
        if self._registry is None:
            raise TextinvError(f"{ref.placeholder} lies in the store, which is not at hand: configure it")
        version = self._registry.resolve(ref)
        label = ConceptRef(version.name, version.version).placeholder
        return label, base64.b64encode(version.embedding.to_bytes()).decode()

    def _file(self, init: str) -> tuple[str, str]:
        from textinv.embedding import import_embedding  # torch: only when a file is named

        folder = self._manifest.origin.folder or Path()
        embedding = import_embedding(folder / Path(init.removeprefix(EMBEDDING_FILE)).expanduser())
        return init, base64.b64encode(embedding.to_bytes()).decode()
