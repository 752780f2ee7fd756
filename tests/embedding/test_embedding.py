"""Embeddings are checked, copied, and have bytes that never change."""

import hashlib
import pickle

import pytest
import safetensors.torch
import torch
from torch import Tensor

from textinv.embedding import Embedding
from textinv.errors import EmbeddingFormatError


def test_bytes_come_back_as_the_same_embedding() -> None:
    embedding = Embedding({"text_encoder": torch.randn(3, 8), "text_encoder_2": torch.randn(3, 5)})
    again = Embedding.from_bytes(embedding.to_bytes())
    assert again == embedding
    assert (again.num_vectors, again.widths) == (3, {"text_encoder": 8, "text_encoder_2": 5})
    assert all(torch.equal(again.rows[name], embedding.rows[name]) for name in embedding.rows)


def test_the_digest_is_that_of_the_canonical_bytes_and_is_pinned() -> None:
    embedding = Embedding({"text_encoder": torch.arange(4, dtype=torch.float32).reshape(2, 2)})
    assert embedding.digest == hashlib.sha256(embedding.to_bytes()).hexdigest()
    assert embedding.digest == "a3874a951d1b9ce587f799a254e6bce133f4e030bc951ee5460b117666a80a20"


def test_the_order_of_encoders_does_not_matter() -> None:
    first, second = torch.randn(1, 4), torch.randn(1, 6)
    one = Embedding({"text_encoder": first, "text_encoder_2": second})
    assert one == Embedding({"text_encoder_2": second, "text_encoder": first})


def test_the_canonical_bytes_are_a_safetensors_file() -> None:
    rows_ND = torch.randn(2, 8)
    loaded = safetensors.torch.load(Embedding({"text_encoder": rows_ND}).to_bytes())
    assert list(loaded) == ["text_encoder"]
    assert torch.equal(loaded["text_encoder"], rows_ND)


def test_later_changes_of_the_tensors_do_not_reach_it() -> None:
    rows_ND = torch.ones(1, 4, requires_grad=True)
    embedding = Embedding({"text_encoder": rows_ND})
    with torch.no_grad():
        rows_ND.zero_()
    assert torch.equal(embedding.rows["text_encoder"], torch.ones(1, 4))
    assert not embedding.rows["text_encoder"].requires_grad


def test_other_precisions_become_fp32() -> None:
    assert (
        Embedding({"text_encoder": torch.ones(1, 4, dtype=torch.bfloat16)}).rows["text_encoder"].dtype == torch.float32
    )


def test_it_survives_pickling() -> None:
    embedding = Embedding({"text_encoder": torch.randn(1, 4)})
    assert pickle.loads(pickle.dumps(embedding)) == embedding


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ({}, "at least one"),
        ({"CLIP": torch.ones(1, 4)}, "'CLIP' is not a valid name of a text encoder"),
        ({"text_encoder": torch.ones(4)}, "must be floating-point"),
        ({"text_encoder": torch.ones(1, 4, dtype=torch.int64)}, "must be floating-point"),
        ({"text_encoder": torch.ones(0, 4)}, "0 x 4"),
        ({"text_encoder": torch.ones(1, 1).expand(1_000_000_000, 768)}, "1000000000 x 768"),
        ({"text_encoder": torch.tensor([[1.0, float("nan")]])}, "not finite"),
        ({"text_encoder": torch.ones(1, 4), "text_encoder_2": torch.ones(2, 4)}, "same number of vectors"),
    ],
)
def test_what_is_no_embedding_is_refused(rows: dict[str, Tensor], what: str) -> None:
    with pytest.raises(EmbeddingFormatError, match=what):
        Embedding(rows)


@pytest.mark.parametrize("data", [b"", b"\x00" * 20, b"\xff" * 100, b"PK\x03\x04"])
def test_bytes_that_are_no_safetensors_are_refused(data: bytes) -> None:
    with pytest.raises(EmbeddingFormatError):
        Embedding.from_bytes(data)
