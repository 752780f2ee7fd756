"""What A1111's clients write into a prompt that is said otherwise here, or not at all.

Owns which bare words of one request are concepts: those on the list that the base model and the caller can use. The
list is some seconds old, so a word may turn out to be none any more: then it is plain text, as all others are. Owns,
too, what is taken out: other networks, and `AND`, whose prompts are drawn as one.
"""

import re
from collections.abc import Sequence

from services.api.callers import Caller
from services.concept_list import find_listed
from services.desk import Desk
from services.drawing.studio import StudioFacts
from textinv.errors import UnknownConceptError
from textinv.placeholders import expand_bare_names, take_other_networks
from textinv.registry import ConceptSummary

_AND = re.compile(r"\s*\bAND\b\s*")


def ignored_in(prompt: str) -> list[str]:
    """What of a prompt has no effect here, each once."""
    text, networks = take_other_networks(prompt)
    return list(dict.fromkeys([*networks, *(["AND"] if _AND.search(text) else [])]))


class BareNames:
    """The bare words of one request that are concepts. Calls wait for the store."""

    def __init__(self, desk: Desk, facts: StudioFacts, caller: Caller) -> None:
        self._desk = desk
        self._facts = facts
        self._caller = caller
        self._listed: Sequence[ConceptSummary] | None = None
        self._used: set[str] = set()
        self._gone: set[str] = set()

    def expand(self, prompt: str) -> str:
        """Write a prompt with placeholders where it names concepts in any other way, without what has no effect."""
        return expand_bare_names(_AND.sub(" ", take_other_networks(prompt)[0]), self._is_concept)

    def drop(self, error: UnknownConceptError) -> bool:
        """Take the concept that there is none of for plain text from now on, if it is a bare word that was deleted.

        A version that a concept does not have stays an error, and so does what is written as a placeholder.
        """
        name, _, version = str(error.details.get("concept")).partition("@")
        if name not in self._used - self._gone or (version and self._is_there(name)):
            return False
        self._gone.add(name)
        return True

    def _is_concept(self, word: str) -> bool:
        if word in self._gone or not word.startswith(self._caller.name_prefix):
            return False
        # Read once, when a word could be one.
        self._listed = self._desk.concepts.all() if self._listed is None else self._listed
        found = find_listed(self._listed, word)
        if found is None or not self._facts.fits(found, self._desk.config.bases):
            return False
        self._used.add(word)
        return True

    def _is_there(self, name: str) -> bool:
        try:
            self._desk.registry.current_entry(name)
        except UnknownConceptError:
            return False
        return True
