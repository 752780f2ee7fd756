"""What the tests of this room draw with."""

import pytest

from textinv.models.base import BaseModel


@pytest.fixture(scope="session")
def model(small: BaseModel) -> BaseModel:
    """Of the demo base's words and sizes: what is drawn does not matter to most of these tests."""
    return small
