"""Where rows start, pinned when a manifest is planned.

Owns turning `init` into what a spec holds: a text, `auto`, or the bytes of an embedding, so that a registry entry that
moves or a file that changes later does not change the spec. One that does not fit the base model is refused here.
"""

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from textinv.errors import BaseModelMismatchError, TextinvError
from textinv.manifest.fields import Manifest
from textinv.manifest.origin import Problem
from textinv.manifest.rules import EMBEDDING_FILE, parse_ref_or_none
from textinv.placeholders import ConceptRef
from textinv.plan.resolve import BaseFacts, Values

if TYPE_CHECKING:
    from textinv.embedding import Embedding
    from textinv.registry import Registry


class Initializers:
    """Pins initializers of one manifest; each embedding is read once."""

    def __init__(self, manifest: Manifest, registry: "Registry | None", base: BaseFacts) -> None:
        self._manifest = manifest
        self._registry = registry
        self._base = base
        self._known: dict[str, tuple[str, Embedding, str]] = {}
        """By what was written: label, embedding, and its bytes in base64."""
        self.warnings: list[Problem] = []
        """What will be learned, but perhaps not as it was meant."""

    def pin(self, values: Values, index: int, problems: list[Problem]) -> tuple[str, str | None]:
        """The label of an initializer, and its embedding in base64 if it is one."""
        stated = values.stated("init") or values.stated("class_word") or "auto"
        init = str(stated).strip()
        try:
            ref = parse_ref_or_none(init)
            if ref is None and not init.startswith(EMBEDDING_FILE):
                return init, None
            if init not in self._known:
                label, embedding = self._published(ref) if ref else self._file(init)
                self._known[init] = label, embedding, base64.b64encode(embedding.to_bytes()).decode()
            label, embedding, encoded = self._known[init]
            self._check(embedding, values)
        except TextinvError as error:
            problems.append(self._manifest.origin.problem(values.place(index, "init"), error.message))
            return init, None
        self._warn_of_loss(embedding, values, index)
        return label, encoded

    def _check(self, embedding: "Embedding", values: Values) -> None:
        wanted, problem = self._base.row_widths, embedding.unlearned(values.stated("rows") or "input")
        if wanted and problem is None:
            problem = embedding.misfit(wanted, self._manifest.base_model, self._base.whole)
        if problem:
            raise BaseModelMismatchError(f"{problem}: start from an embedding for this base model, or from a word")

    def _warn_of_loss(self, embedding: "Embedding", values: Values, index: int) -> None:
        if embedding.num_vectors > values["num_vectors"]:
            text = (
                f"has {embedding.num_vectors} vectors, of which neighbours are averaged to {values['num_vectors']}: "
                f"num_vectors: {embedding.num_vectors} keeps all"
            )
            self.warnings.append(self._manifest.origin.problem(values.place(index, "init"), text))

    def _published(self, ref: ConceptRef) -> tuple[str, "Embedding"]:
        if self._registry is None:
            raise TextinvError(f"{ref.placeholder} lies in the store, which is not at hand: configure it")
        version = self._registry.resolve(ref)
        label = ConceptRef(version.name, version.version).placeholder
        return label, version.embedding

    def _file(self, init: str) -> tuple[str, "Embedding"]:
        from textinv.embedding import import_embedding  # torch: only when a file is named

        folder = self._manifest.origin.folder or Path()
        return init, import_embedding(
            folder / Path(init.removeprefix(EMBEDDING_FILE)).expanduser(),
            self._base.file_keys,
            only=bool(self._base.file_keys),
        )
