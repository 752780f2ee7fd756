"""A hint for who writes a stored name as a plain word: it is drawn as one, and perhaps the concept was meant.

Owns the sentence. Knows only what was listed last, so that nobody waits for the store because of a hint.
"""

from services.api.callers import Caller
from services.concept_list import find_listed
from services.desk import Desk
from textinv.placeholders import bare_names

_MAX_HINTS = 3


def hints_for(desk: Desk, caller: Caller, prompt: str) -> list[str]:
    """What to tell of a prompt's plain words, placeholders being written out already."""
    listed = desk.concepts.at_hand()
    names = bare_names(
        prompt, lambda name: name.startswith(caller.name_prefix) and find_listed(listed, name) is not None
    )
    return [f"{name} is a plain word here: write <{name}> for the concept" for name in names[:_MAX_HINTS]]
