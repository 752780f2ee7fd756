"""Every error survives a process boundary and has a code of its own."""

import pickle
from collections.abc import Iterator

import pytest
import torch
from pydantic import BaseModel, ValidationError

from textinv import errors


def _kinds(kind: type[errors.TextinvError] = errors.TextinvError) -> Iterator[type[errors.TextinvError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)


@pytest.mark.parametrize("kind", _kinds())
def test_an_error_comes_back_from_pickling_with_its_message_and_details(kind: type[errors.TextinvError]) -> None:
    back = pickle.loads(pickle.dumps(kind("the bucket 'a' is missing", bucket="a")))
    assert type(back) is kind
    assert (str(back), back.details) == ("the bucket 'a' is missing", {"bucket": "a"})


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in _kinds()]
    assert sorted(codes) == sorted(set(codes))


def test_the_tree_drawn_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    assert [kind.__name__ for kind in _kinds() if kind.__name__ not in errors.__doc__] == []


class Stored(BaseModel):
    """Something that lies in a store."""

    steps: int
    name: str


def test_a_librarys_error_is_told_in_a_line() -> None:
    with pytest.raises(ValidationError) as wrong:
        Stored.model_validate({"steps": "many"})
    assert len(str(wrong.value).splitlines()) > 4
    assert errors.in_a_line(wrong.value) == (
        "Input should be a valid integer, unable to parse string as an integer at steps"
    )
    with pytest.raises(ValidationError) as broken:
        Stored.model_validate_json(b"{")
    assert errors.in_a_line(broken.value).startswith("Invalid JSON: EOF while parsing")
    with pytest.raises(RuntimeError) as other:
        torch.nn.Linear(2, 2).load_state_dict({"gain": torch.zeros(1)})
    assert len(str(other.value).splitlines()) == 3
    assert errors.in_a_line(other.value) == (
        'Error(s) in loading state_dict for Linear: Missing key(s) in state_dict: "weight", "bias".'
    )
    assert errors.in_a_line(EOFError()) == "EOFError"
