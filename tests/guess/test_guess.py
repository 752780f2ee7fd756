"""A guess predicts rows from pictures, for the base model that it was trained for only."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluation.tiny_encoders import clip_folder
from tests.guess.small_guess import LOOK_WIDTH, small_guess, small_shape
from textinv.errors import BaseModelMismatchError, CorruptObjectError, SettingsError
from textinv.guess.guess import encoder_digest, open_guess
from textinv.guess.network import GuessNetwork
from textinv.models.base import BaseModel
from textinv.registry.guesses import read_guess


def pictures(count: int = 3) -> Sequence[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    return [np.random.default_rng(seed).integers(0, 255, (40, 50, 3), dtype=np.uint8) for seed in range(count)]


def test_rows_depend_on_the_pictures_and_not_on_their_order_nor_on_what_stands_beside_them(emoji: BaseModel) -> None:
    torch.manual_seed(0)
    network = GuessNetwork(small_shape(emoji)).eval()
    looks_BPTW = torch.randn(2, 3, 5, LOOK_WIDTH)
    all_BP, kinds_B = torch.ones(2, 3, dtype=torch.bool), torch.tensor([0, 1])
    rows = network(looks_BPTW, all_BP, kinds_B, 4)["text_encoder"]
    turned = network(looks_BPTW[:, [2, 0, 1]], all_BP, kinds_B, 4)["text_encoder"]
    assert torch.allclose(rows, turned, atol=1e-5)
    shown_BP = torch.tensor([[True, True, False], [True, True, True]])
    fewer = network(looks_BPTW, shown_BP, kinds_B, 4)["text_encoder"]
    alone = network(looks_BPTW[:1, :2], shown_BP[:1, :2], kinds_B[:1], 4)["text_encoder"]
    assert torch.allclose(fewer[0], alone[0], atol=1e-5)
    assert torch.allclose(fewer[1], rows[1], atol=1e-5)
    assert not torch.allclose(rows[0], alone[0], atol=1e-3)


def test_rows_are_as_long_as_the_vocabularys_and_every_number_of_vectors_can_be_had(emoji: BaseModel) -> None:
    guess = open_guess(small_guess(emoji), emoji)
    length = float(emoji.vocabulary("text_encoder").float().norm(dim=-1).mean())
    for count in (1, 3, 4, 6):
        rows = guess.rows(pictures(), "object", count)
        assert rows.num_vectors == count
        assert torch.allclose(rows.rows["text_encoder"].norm(dim=-1), torch.tensor(length), rtol=1e-3)
    assert guess.rows(pictures(), "style", 2) != guess.rows(pictures(), "object", 2)


def test_the_same_bytes_give_the_same_rows(emoji: BaseModel) -> None:
    file = small_guess(emoji)
    again = open_guess(read_guess(bytes(file.data), "a copy"), emoji).rows(pictures(), "object", 4)
    assert again == open_guess(file, emoji).rows(pictures(), "object", 4)
    assert again != open_guess(small_guess(emoji, seed=1), emoji).rows(pictures(), "object", 4)


def test_a_guess_of_another_base_model_is_refused(emoji: BaseModel) -> None:
    other = small_guess(emoji, base_model="pokemon", base_revision="f" * 64)
    with pytest.raises(
        BaseModelMismatchError, match=r"trained for pokemon \(ffffffffffff\), but this is .*guess train"
    ):
        open_guess(other, emoji)


def test_a_guess_sees_through_the_encoder_that_it_was_trained_with(emoji: BaseModel, tmp_path: Path) -> None:
    folder = clip_folder(tmp_path)
    file = small_guess(emoji, encoder=folder.name, encoder_digest=encoder_digest(folder))
    with pytest.raises(SettingsError, match=r"sees through the image encoder .*`encoders` here \(nothing\)"):
        open_guess(file, emoji)
    assert open_guess(file, emoji, [tmp_path / "absent", folder]).encoder.id == str(folder)


@pytest.mark.parametrize("data", [b"", b"no safetensors at all", b"\xff" * 64, b"\x02" + b"\0" * 7 + b"{}"])
def test_bytes_that_are_no_guess_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptObjectError, match=r"here\.bin holds no guess"):
        read_guess(data, "here.bin")
