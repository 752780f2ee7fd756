"""Where rows start, pinned when a manifest is planned.

Owns turning `init` into what a spec holds: a text, `auto`, the bytes of an embedding, or the digest of a guess, so that
a registry entry that moves, a file that changes or a guess that is published later does not change the spec. One that
does not fit the base model is refused here.
"""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from textinv.errors import BaseModelMismatchError, TextinvError
from textinv.manifest.fields import Manifest
from textinv.manifest.origin import Origin, Problem
from textinv.manifest.rules import EMBEDDING_FILE, parse_ref_or_none
from textinv.placeholders import ConceptRef
from textinv.plan.guesses import GUESS, FoundGuess, Guesses
from textinv.plan.resolve import BaseFacts, Beginning, Values

if TYPE_CHECKING:
    from textinv.embedding import Embedding
    from textinv.registry import Registry

AUTO = "auto"
NOT_KNOWN: Mapping[str, Sequence[str]] = MappingProxyType({})


class Initializers:
    """Pins initializers of one manifest; each embedding is read once."""

    def __init__(self, manifest: Manifest, registry: "Registry | None", base: BaseFacts, guesses: Guesses) -> None:
        self._manifest = manifest
        self._registry = registry
        self._base = base
        self._guesses = guesses
        self._known: dict[str, tuple[str, Embedding, str]] = {}
        """By what was written: label, embedding, and its bytes in base64."""
        self.guesses: dict[str, FoundGuess] = {}
        """Those that were pinned, by digest."""
        self.warnings: list[Problem] = []
        """What will be learned, but perhaps not as it was meant."""

    def pin(self, values: Values, index: int, problems: list[Problem]) -> Beginning:
        """What a concept's spec says of where its rows start."""
        stated = values["init"] or values.stated("class_word") or AUTO
        init = str(stated).strip()
        if init in (GUESS, AUTO):
            return self._guessed(init, values, index, problems)
        try:
            ref = parse_ref_or_none(init)
            if ref is None and not init.startswith(EMBEDDING_FILE):
                return Beginning(init)
            if init not in self._known:
                label, embedding = self._published(ref) if ref else self._file(init)
                self._known[init] = label, embedding, base64.b64encode(embedding.to_bytes()).decode()
            label, embedding, encoded = self._known[init]
            self._check(embedding, values)
        except TextinvError as error:
            problems.append(self._manifest.origin.problem(values.place(index, "init"), error.message))
            return Beginning(init)
        self._warn_of_loss(embedding, values, index)
        return Beginning(label, encoded)

    def _guessed(self, init: str, values: Values, index: int, problems: list[Problem]) -> Beginning:
        """`auto` takes the better of words and a guess that is good for this kind; what asks for a guess needs one."""
        found = self._guesses.found
        if found is None:
            if init == GUESS:
                where = "init" if values.stated("init") else "recipe"
                message = f"{self._guesses.missing}; or write `auto` or a word"
                problems.append(self._manifest.origin.problem(values.place(index, where), message))
            return Beginning(init)
        if init != GUESS and (values.stated("kind") or "object") not in found.kinds:
            return Beginning(init)
        self.guesses[found.digest] = found
        return Beginning(init, digest=found.digest)

    def _check(self, embedding: "Embedding", values: Values) -> None:
        wanted, problem = self._base.row_widths, embedding.unlearned(values.stated("rows") or "input")
        if wanted and problem is None:
            problem = embedding.misfit(wanted, self._manifest.base_model, self._base.whole)
        if problem:
            raise BaseModelMismatchError(f"{problem}: start from an embedding for this base model, or from a word")

    def _warn_of_loss(self, embedding: "Embedding", values: Values, index: int) -> None:
        if embedding.num_vectors > values["num_vectors"]:
            text = (
                f"has {embedding.num_vectors} vectors; neighbours are averaged to make {values['num_vectors']}: "
                f"num_vectors: {embedding.num_vectors} keeps all"
            )
            self.warnings.append(self._manifest.origin.problem(values.place(index, "init"), text))

    def _published(self, ref: ConceptRef) -> tuple[str, "Embedding"]:
        if self._registry is None:
            raise TextinvError(f"{ref.placeholder} is in the store, which cannot be reached here: configure it")
        version = self._registry.resolve(ref)
        label = ConceptRef(version.name, version.version).placeholder
        return label, version.embedding

    def _file(self, init: str) -> tuple[str, "Embedding"]:
        return init, embedding_of(init, self._manifest.origin, self._base.file_keys)


def embedding_of(init: str, origin: Origin, keys: Mapping[str, Sequence[str]] = NOT_KNOWN) -> "Embedding":
    """The rows of an `init` that names a file, from the manifest's folder on; of the encoders that the base model has
    `keys` for, or of any.

    Raises:
        TextinvError: there is no such file, or it is no embedding.
    """
    from textinv.embedding import import_embedding  # torch: only when a file is named
    from textinv.models import file_keys_of

    path = (origin.folder or Path()) / Path(init.removeprefix(EMBEDDING_FILE)).expanduser()
    return import_embedding(path, keys or file_keys_of(), only=bool(keys))
