"""The real CLIP vocabulary: prompts become the ids that OpenAI's tokenizer gives them, placeholders between them.

`tests/data/clip` holds the vocabulary of openai/CLIP as the package open-clip-torch 3.3.0 carries it (MIT), and fifty
prompts with the ids of that package's own `SimpleTokenizer`.
"""

import json
from typing import Any

import pytest
import torch
import transformers

from tests.models.clip_vocabulary import DATA, write_vocabulary
from textinv.models.text_encoder import TextEncoder
from textinv.placeholders import ConceptRef

PROMPTS: dict[str, list[int]] = json.loads((DATA / "prompts.json").read_text())
BEGIN, END, WINDOW = 49406, 49407, 77


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    """A text encoder that reads with the real vocabulary; its network is never run."""
    folder = tmp_path_factory.mktemp("vocabulary")
    write_vocabulary(folder)
    tokenizer: Any = transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=WINDOW)
    return TextEncoder("text_encoder", None, torch.nn.Embedding(1, 4), tokenizer, WINDOW)


def test_there_are_fifty_prompts() -> None:
    assert len(PROMPTS) == 50


@pytest.mark.parametrize("prompt", PROMPTS, ids=range(len(PROMPTS)))
def test_a_prompt_becomes_openais_ids(encoder: TextEncoder, prompt: str) -> None:
    (chunk,) = encoder.chunks([(prompt, 1.0)], {})
    ids = [token.id for token in chunk]
    wanted = [BEGIN, *PROMPTS[prompt], END]
    assert ids[: len(wanted)] == wanted
    assert len(ids) == WINDOW
    assert set(ids[len(wanted) :]) <= {END}


def test_a_placeholder_stands_between_the_ids_of_its_neighbours(encoder: TextEncoder) -> None:
    fox = ConceptRef("fox")
    (chunk,) = encoder.chunks([("a photo of <fox>, at night", 1.0)], {fox: 2})
    rows = [token.row.vector if token.row else None for token in chunk]
    before, after = encoder.ids("a photo of"), encoder.ids(", at night")
    assert rows[: len(before) + 3] == [None] * (len(before) + 1) + [0, 1]
    assert [token.id for token in chunk][1 : len(before) + 1] == before
    assert [token.id for token in chunk][len(before) + 3 :][: len(after) + 1] == [*after, END]
