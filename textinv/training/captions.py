"""A concept's captions as tokens, made once, with the placeholder's rows counted from 0.

Owns which captions there are, and putting the placeholder where `{}` stands. Does not know slots.
"""

from collections.abc import Sequence

from textinv.errors import PromptError
from textinv.models.base import BaseModel, Tokens
from textinv.placeholders import ConceptRef
from textinv.spec import TrainSpec

SELF = ConceptRef("concept")
"""Stands for the concept itself within its own captions."""


def captions_of(spec: TrainSpec) -> tuple[Sequence[str], tuple[int, ...]]:
    """All distinct captions, templates first; per picture the index of its own one, -1 for none."""
    texts = list(spec.templates)
    own = []
    for picture in spec.pictures:
        own.append(-1 if picture.caption is None else len(texts))
        texts += [] if picture.caption is None else [picture.caption]
    return texts, tuple(own)


def tokenize_captions(model: BaseModel, texts: Sequence[str], num_vectors: int) -> dict[str, Tokens]:
    """Tokenise captions with `{}` in them, per text encoder (M, L), on the model's device.

    Raises:
        PromptError: a caption has no `{}`, or the concept does not fit into the window.
    """
    for text in texts:
        if "{}" not in text:
            raise PromptError(f"the caption {text!r} has no {{}}: write {{}} where the concept's word belongs")
    return tokenize_texts(model, [text.replace("{}", SELF.placeholder) for text in texts], num_vectors)


def tokenize_texts(model: BaseModel, texts: Sequence[str], num_vectors: int = 0) -> dict[str, Tokens]:
    """Tokenise texts in which `SELF` may occur, per text encoder (M, L), on the model's device."""
    tokens = model.tokenize(texts, {SELF: range(num_vectors)})
    return {name: Tokens(one.ids_BL.to(model.device), one.row_BL.to(model.device)) for name, one in tokens.items()}
