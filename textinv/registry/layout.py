"""Where the registry's objects lie.

    format.json                          which layout this is; created once
    runs/<run-id>/<file>                 artifacts of a finished training: immutable, written before they are named
    runs/<run-id>/evaluations/<time>.json  scores of the version, added later; immutable
    runs/<run-id>/purged                 there when the run's pictures were deleted on purpose
    done/<fingerprint>.json              which run won a spec, and the version it is or becomes; created once
    versions/<name>/<00000012>.json      a version; its creation commits it, and it never changes
    heads/<name>@<base>.json             the current version for a base model, swapped; carries embedding and record
    index/catalog.json.gz                summaries of all heads; derived, may be stale

`<base>` is the start of the base model's revision. Owns the names, and what a file holds by its name.
"""

import mimetypes
import secrets
import time

from textinv.errors import UnknownConceptError
from textinv.placeholders import GUESS, ConceptRef
from textinv.store.protocol import BINARY

FORMAT = 2
FORMAT_KEY = "format.json"
CATALOG_KEY = "index/catalog.json.gz"
HEADS = "heads/"
VERSIONS = "versions/"
RUNS = "runs/"
DONE = "done/"
PROBES = "probe/"
EMBEDDING_FILE = "embedding.safetensors"
RECORD_FILE = "record.json"
PINNED_FILE = "pinned.jpg"
"""A version's pictures of a few pinned prompts in a row, by which it is compared with others."""
PURGED_FILE = "purged"
_BASE_DIGITS = 16
_NO_BASE = "unknown"


def head_key(name: str, base_revision: str) -> str:
    """Key of a concept's head for a base model; a name has no @ in it."""
    return f"{heads_prefix(name)}{base_revision[:_BASE_DIGITS] or _NO_BASE}.json"


def heads_prefix(name: str) -> str:
    """Prefix of a concept's heads, one for each base model that it was learned on."""
    return f"{HEADS}{name}@"


def concept_of(key: str) -> str:
    """The concept whose head lies at a key."""
    return name_of(key).partition("@")[0]


def versions_prefix(name: str) -> str:
    """Prefix of a concept's versions."""
    return f"{VERSIONS}{name}/"


def version_key(name: str, version: int) -> str:
    """Key of a version; the padding makes listings come in order.

    Raises:
        UnknownConceptError: what was only guessed lies nowhere.
    """
    if version == GUESS:
        ref = ConceptRef(name, version)
        raise UnknownConceptError(
            f"{ref.placeholder} lies in no store: a service holds a guess for an hour, for who asked for it alone",
            concept=str(ref),
        )
    return f"{versions_prefix(name)}{version:08d}.json"


def done_key(fingerprint: str) -> str:
    """Key of the claim of a spec."""
    return f"{DONE}{fingerprint}.json"


def run_prefix(run_id: str) -> str:
    """Prefix of a run's artifacts."""
    return f"{RUNS}{run_id}/"


def run_key(run_id: str, file: str) -> str:
    """Key of an artifact."""
    return f"{run_prefix(run_id)}{file}"


def purged_key(run_id: str) -> str:
    """Key of the mark of a run whose pictures were deleted on purpose."""
    return run_key(run_id, PURGED_FILE)


def evaluations_prefix(run_id: str) -> str:
    """Prefix of the evaluations that were added to a run's version."""
    return f"{run_prefix(run_id)}evaluations/"


def name_of(key: str) -> str:
    """The last part of a key without its suffix: a concept's name, a fingerprint."""
    return key.rpartition("/")[2].removesuffix(".json")


def media_type_of(file: str) -> str:
    """What a file holds, by its name."""
    return mimetypes.guess_type(file)[0] or BINARY


def is_picture(file: str) -> bool:
    """Whether a file, or the object at a key, is a picture."""
    return media_type_of(file).startswith("image/")


def new_run_id() -> str:
    """Make a unique id that sorts by time, as well as this machine's clock allows."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(5)}"
