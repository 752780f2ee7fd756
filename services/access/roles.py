"""What an API key may do, by its role. Knows no keys."""

from typing import Literal

Role = Literal["generate", "submit", "operate", "admin"]
ROLES: tuple[Role, ...] = ("generate", "submit", "operate", "admin")
"""Each may do what those before it may; `admin` owns what all share, the fleet."""


def covers(role: Role, needed: Role) -> bool:
    """Whether a key of one role may do what another is needed for."""
    return ROLES.index(role) >= ROLES.index(needed)
