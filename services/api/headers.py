"""Headers that list what callers named: printable ASCII and bounded, whatever it was.

A control character in a header breaks the connection, and clients refuse an answer whose headers take more than 8 to
64 KB together.
"""

import re
from collections.abc import Sequence

MAX_CHARS = 2000
# A name, a version and a short digest fit.
_MAX_PIECE_CHARS = 100
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def header_list(pieces: Sequence[str]) -> str:
    """Join pieces with commas in `MAX_CHARS` at most; those without room are counted (`and 7 more`).

    Of a long piece the beginning is kept, and what is not printable ASCII becomes a question mark.
    """
    kept: list[str] = []
    room = MAX_CHARS - len(f", and {len(pieces)} more")
    for piece in pieces:
        text = _UNPRINTABLE.sub("?", piece[:_MAX_PIECE_CHARS])
        room -= len(text) + len(", ")
        if room < 0:
            kept.append(f"and {len(pieces) - len(kept)} more")
            break
        kept.append(text)
    return ", ".join(kept).strip()
