"""What the tests of this room draw with."""

import pytest

from textinv.models.base import BaseModel


@pytest.fixture(scope="session")
def model(emoji: BaseModel) -> BaseModel:
    """The demo base."""
    return emoji
