"""Rows are written for one call: nothing stays behind, nothing is seen by another thread."""

import threading
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

from textinv.models import BaseModel, batch_prompts
from textinv.models.text_encoder import TextEncoder
from textinv.placeholders import ConceptRef

FOX, CUP = ConceptRef("my-fox"), ConceptRef("my-cup", 2)
PROMPT = "a photo of <my-fox> and a cup"
FAMILIES = ["sd1", "sd2", "sdxl", "ldm"]


def _rows(model: BaseModel, count: int, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(count, width, generator=generator) for name, width in model.encoder_widths.items()}


def _encode(model: BaseModel, prompt: str, rows: Mapping[ConceptRef, Mapping[str, Tensor]]) -> Tensor:
    counts = {ref: len(next(iter(one.values()))) for ref, one in rows.items()}
    batch = batch_prompts([model.tokenize_prompt(prompt, counts)], rows)
    return model.encode_text(batch.tokens, batch.rows)["hidden"]


def _weights(model: BaseModel) -> dict[str, Tensor]:
    """All tensors of the networks that a model holds, wherever it keeps them."""
    networks, waiting = dict[str, nn.Module](), [("model", value) for value in vars(model).items()]
    while waiting:
        path, (name, value) = waiting.pop()
        if isinstance(value, nn.Module):
            networks[f"{path}.{name}"] = value
        elif isinstance(value, Mapping):
            waiting += [(f"{path}.{name}", (str(key), one)) for key, one in value.items()]
        elif isinstance(value, TextEncoder):
            waiting += [(f"{path}.{name}", one) for one in vars(value).items()]
    assert len(networks) >= 3  # a UNet, a VAE, a text encoder
    return {f"{path}.{name}": one for path, network in networks.items() for name, one in network.state_dict().items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_tokenizer_and_encodings_are_bit_identical_after_rows_were_written(
    tiny: Callable[[str], BaseModel], family: str
) -> None:
    model = tiny(family)
    weights = {name: tensor.clone() for name, tensor in _weights(model).items()}
    tokens, plain = model.tokenize([PROMPT.replace("<my-fox>", "fox")], {}), _encode(model, "a fox", {})
    written = _encode(model, PROMPT, {FOX: _rows(model, 2, seed=1)})
    assert not torch.equal(written, _encode(model, PROMPT, {FOX: _rows(model, 2, seed=2)}))
    assert weights.keys() == _weights(model).keys()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in _weights(model).items())
    for name in model.encoder_names:
        assert model.tokenize([PROMPT.replace("<my-fox>", "fox")], {})[name].ids_BL.equal(tokens[name].ids_BL)
    assert torch.equal(_encode(model, "a fox", {}), plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_the_rows_that_stand_in_a_prompt_and_no_weight(
    tiny: Callable[[str], BaseModel], family: str
) -> None:
    model = tiny(family)
    rows = {name: rows_RD.requires_grad_() for name, rows_RD in _rows(model, 3, seed=1).items()}
    tokens = model.tokenize(["a <my-fox> on grass"], {FOX: range(1, 3)})
    hidden_BLD = model.encode_text(tokens, rows)
    noisy_BCHW = torch.randn(1, model.latent_channels, 8, 8, generator=torch.Generator().manual_seed(3))
    model.predict(noisy_BCHW, torch.tensor([400]), hidden_BLD).pow(2).sum().backward()
    for name in model.encoder_names:
        assert rows[name].grad is not None
        per_row = rows[name].grad.abs().sum(1)
        assert per_row[0] == 0
        assert (per_row[1:] > 0).all()
        assert not model.vocabulary(name).requires_grad
        assert model.vocabulary(name).grad is None


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_threads_that_encode_at_once_never_see_each_others_rows(tiny: Callable[[str], BaseModel], family: str) -> None:
    model = tiny(family)
    rows = [_rows(model, 1, seed) for seed in range(4)]
    alone = [_encode(model, PROMPT, {FOX: one}) for one in rows]
    barrier, wrong = threading.Barrier(len(rows)), []

    def encode_many(place: int) -> None:
        barrier.wait()
        for _ in range(25):
            if not torch.equal(_encode(model, PROMPT, {FOX: rows[place]}), alone[place]):
                wrong.append(place)

    threads = [threading.Thread(target=encode_many, args=(place,)) for place in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert not torch.equal(alone[0], alone[1])


def test_a_row_that_is_not_finite_harms_only_the_prompts_that_use_it(emoji: BaseModel) -> None:
    rows_RD = torch.full((2, 192), float("nan"))
    rows_RD[1] = 0.1
    rows_RD.requires_grad_()
    tokens = emoji.tokenize(["a <my-fox>", "a <my-cup@2>", "a cup"], {FOX: range(1), CUP: range(1, 2)})
    hidden_BLD = emoji.encode_text(tokens, {"text_encoder": rows_RD})["hidden"]
    assert torch.isnan(hidden_BLD[0]).any()
    assert torch.isfinite(hidden_BLD[1:]).all()
    hidden_BLD[1:].sum().backward()
    assert rows_RD.grad is not None
    assert torch.isfinite(rows_RD.grad[1]).all()


def test_many_prompts_in_one_batch_are_encoded_as_each_alone(emoji: BaseModel) -> None:
    rows = {FOX: _rows(emoji, 2, seed=1), CUP: _rows(emoji, 1, seed=2)}
    prompts = ["a <my-fox>", "a <my-cup@2> next to <my-fox>", "two cups", "<my-cup@2> " + "and grass " * 30]
    tokenized = [emoji.tokenize_prompt(prompt, {FOX: 2, CUP: 1}) for prompt in prompts]
    batch = batch_prompts(tokenized, rows)
    assert {name: len(rows_RD) for name, rows_RD in batch.rows.items()} == {"text_encoder": 3}
    encoded = emoji.encode_text(batch.tokens, batch.rows)
    together = [emoji.joined(encoded.index(torch.tensor(list(chunks)))) for chunks in batch.chunks]
    for prompt, one in zip(tokenized, together, strict=True):
        single = batch_prompts([prompt], rows)
        alone = emoji.joined(emoji.encode_text(single.tokens, single.rows))
        assert one["hidden"].shape == (1, prompt.num_chunks * emoji.window, 192)
        torch.testing.assert_close(one["hidden"], alone["hidden"], rtol=1e-4, atol=1e-4)
