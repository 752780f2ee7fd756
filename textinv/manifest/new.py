"""A first manifest for somebody's folders of pictures, with comments that teach the fields.

Owns its text and making names of what folders are called. Does not know what lies in the folders.
"""

import json
import re
import unicodedata
from collections.abc import Container, Sequence
from dataclasses import dataclass

from textinv.placeholders import is_name
from textinv.spec import Kind

_HEAD = """# What to learn. `textinv plan {file}` says what is wrong with it and what it costs;
# `textinv submit {file} --follow` learns it. Every field: manifests/README.md.

base_model: {base} # emoji is the demo base; or a hub id, a diffusers folder, a single-file checkpoint

defaults:
  recipe: balanced # fast: a first look; faithful: the last likeness of one thing, less willing to follow prompts
{init}
concepts:
"""
_INIT = """  init: auto # where no class_word is given: the words that the base model finds nearest to the pictures
"""
_MAX_NAME = 63


@dataclass(frozen=True)
class NewConcept:
    """A folder that becomes a concept."""

    name: str
    images: str
    """As the manifest says it."""
    num_pictures: int
    num_captions: int
    kind: Kind = "object"
    class_word: str | None = None


def manifest_text(concepts: Sequence[NewConcept], base_model: str, file: str) -> str:
    """The text of a manifest that teaches these concepts."""
    init = _INIT if any(one.class_word is None for one in concepts) else ""
    head = _HEAD.format(file=file, base=_quoted(base_model), init=init)
    return head + "\n".join(_concept(one) for one in concepts)


def name_of_folder(folder: str, taken: Container[str] = ()) -> str:
    """A valid name that comes nearest to what a folder is called, and is not `taken`."""
    plain = unicodedata.normalize("NFKD", folder).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9._]+", "-", plain).strip("._-")[:_MAX_NAME]
    if not is_name(name):
        name = f"concept-{name}".strip("-")[:_MAX_NAME]
    number, free = 2, name
    while free in taken:
        free = f"{name[: _MAX_NAME - len(str(number)) - 1]}-{number}"
        number += 1
    return free


def _concept(one: NewConcept) -> str:
    word = f"    class_word: {_quoted(one.class_word)} # what kind of thing it is\n" if one.class_word else ""
    unsaid = "" if word else "    # class_word: fox # what kind of thing it is, in words that the base model knows\n"
    return (
        f"  - name: {_quoted(one.name)} # prompts call it <{one.name}>\n"
        f"    images: {_quoted(one.images)} # {one.num_pictures} pictures{_captioned(one)}\n"
        f"    kind: {one.kind} # object: a particular thing; style: the way that pictures look\n"
        f"{word or unsaid}"
    )


def _captioned(one: NewConcept) -> str:
    if one.num_captions == 0:
        return "; a .txt beside one, with {} where the concept goes, is its caption"
    return f", {one.num_captions} with a caption beside"


def _quoted(text: str) -> str:
    """A text as YAML, plain where it can be taken for nothing else."""
    is_plain = re.fullmatch(r"[A-Za-z][\w./-]*( [A-Za-z][\w./-]*)*", text, re.ASCII) is not None
    reserved = text.lower() in ("yes", "no", "on", "off", "true", "false", "null", "y", "n")
    return text if is_plain and not reserved else json.dumps(text, ensure_ascii=False)
