"""Prompts that scores are taken with: {} is where the concept goes.

Owns the default, which a base model replaces by an `evaluation.json` beside its weights when it knows other things.
Does not know who draws them, nor the prompts that training uses.
"""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from textinv.errors import BaseModelError, in_a_line

FILE = "evaluation.json"
Kind = Literal["object", "style"]


def _with_a_place(line: str) -> str:
    if "{}" not in line:
        raise ValueError("has no {} where the concept goes")
    return line


Line = Annotated[str, AfterValidator(_with_a_place)]

FIDELITY: dict[Kind, str] = {"object": "a photo of {}", "style": "a picture in the style of {}"}

# Gal et al. 2022, arXiv:2208.01618, name the first three; the others are NeTI's (Alaluf 2023, arXiv:2305.15391).
OBJECT = (
    "a photo of {} on the moon",
    "an oil painting of {}",
    "Elmo holding a {}",
    "a photo of {} in the jungle",
    "a photo of {} on a beach",
    "a manga drawing of {}",
    "a watercolor painting of {}",
    "a photograph of two {} on a table",
)
# Gal et al. 2022, where they show styles.
STYLE = (
    "the streets of Paris in the style of {}",
    "adorable corgi in the style of {}",
    "painting of a black hole in the style of {}",
    "Times Square in the style of {}",
)


class EvaluationPrompts(BaseModel):
    """What a base model is asked to draw of a concept that is scored, by the concept's kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fidelity: dict[Kind, Line] = FIDELITY
    """The prompt whose pictures are compared with real ones."""
    editability: dict[Kind, Annotated[tuple[Line, ...], Field(min_length=1)]] = {"object": OBJECT, "style": STYLE}
    """Prompts that put the concept into other company; one picture of each is compared with its prompt."""
    asks: dict[Line, tuple[str, str]] = {}
    """What a prompt asks for, as a question of the base model's judge and the right answer; others are not judged."""


DEFAULT = EvaluationPrompts()


@cache
def prompts_of(folder: Path | None) -> EvaluationPrompts:
    """The prompts that belong to the base model in a folder; the default where it brings none.

    Raises:
        BaseModelError: its file cannot be read.
    """
    file = folder / FILE if folder else None
    if file is None or not file.is_file():
        return DEFAULT
    try:
        return EvaluationPrompts.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise BaseModelError(
            f"the evaluation prompts in {file} cannot be read: {in_a_line(error)}; correct or remove the file"
        ) from error
