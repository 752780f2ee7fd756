"""The `concepts` field: concepts that a caller names beside the prompt.

A bare word that is listed becomes a placeholder, and a placeholder without a version takes the version listed. A listed
concept that the prompt uses neither way is an error, so that nobody believes it was used.
"""

import re
from collections.abc import Sequence

from textinv.errors import InputError, RequestError
from textinv.placeholders import ConceptRef, expand_aliases, parse_ref, refs_in, with_versions


def apply_concepts(prompt: str, negative_prompt: str, listed: Sequence[str]) -> tuple[str, str]:
    """Put the listed concepts into both prompts.

    Raises:
        RequestError: an entry is not a name, is listed twice with different versions, or is used nowhere; or a prompt
            asks for a version that cannot be.
    """
    refs = _parse(listed)
    prompt, negative_prompt = (_apply(expand_aliases(text), refs) for text in (prompt, negative_prompt))
    used = _names("prompt", prompt) | _names("negative_prompt", negative_prompt)
    for ref in refs.values():
        if ref.name not in used:
            raise RequestError(
                f"concepts lists {ref}, but the prompt does not use it; write {ref.placeholder} where it belongs",
                param="concepts",
            )
    return prompt, negative_prompt


def _parse(listed: Sequence[str]) -> dict[str, ConceptRef]:
    refs: dict[str, ConceptRef] = {}
    for text in listed:
        try:
            ref = parse_ref(text)
        except InputError as error:
            raise RequestError(error.message, param="concepts") from error
        if refs.setdefault(ref.name, ref) != ref:
            raise RequestError(f"concepts lists {refs[ref.name]} and {ref}; choose one version", param="concepts")
    return refs


def _names(param: str, text: str) -> set[str]:
    try:
        return {ref.name for ref in refs_in(text)}
    except InputError as error:
        raise RequestError(f"{param}: {error.message}", param=param) from error


def _apply(text: str, refs: dict[str, ConceptRef]) -> str:
    for ref in refs.values():
        name = re.escape(ref.name)
        text = re.sub(rf"(?<![\w.@<+-]){name}(?![\w@>+-])", ref.placeholder, text)
    return with_versions(text, {ref.name: ref.version for ref in refs.values() if ref.version is not None})
