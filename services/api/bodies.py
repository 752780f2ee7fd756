"""What all bodies share: numbers as clients write them, and null for what was left out."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictInt, model_validator


def _integral(value: Any) -> Any:
    """Take 2.0 for 2, as JSON does not tell them apart, and the text of a form for a number."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) < 20 and value.isascii() and value.strip().lstrip("+-").isdecimal():
        return int(value)
    return value


Int = Annotated[StrictInt, BeforeValidator(_integral)]
"""A whole number; unlike pydantic's, true is not 1."""


class Body(BaseModel):
    """A JSON body whose fields may be null where they have a default."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _null_means_default(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {key: value for key, value in given.items() if value is not None}
