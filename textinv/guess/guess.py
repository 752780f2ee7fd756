"""A trained guess: its network and image encoder, the file it is kept in, and predicting rows for a concept's pictures.

Owns the format of the file (safetensors in half precision, the record in its metadata) and refusing a guess that
belongs to another base model or sees through another encoder. Rows are computed in float32 on the CPU, so that every
worker gets the same ones. Does not know stores, nor how a network is trained.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from textinv.embedding import Embedding
from textinv.errors import BaseModelMismatchError, SettingsError
from textinv.guess.network import KINDS, GuessNetwork, Shape
from textinv.images import Picture
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import PictureEncoder, load_encoder, own_encoder
from textinv.models.word_rows import spread
from textinv.plan import Plan
from textinv.plan.sources import fetch_pictures
from textinv.registry.guesses import RECORD_FIELD, GuessFile, GuessRecord, read_guess
from textinv.spec import TrainSpec
from textinv.training import Start, Work

OWN = "own CLIP"
"""What a record says where a guess sees through the base model's own CLIP."""
MOST_PICTURES = 8
"""The first ones are looked at; more would hardly say more."""


def write_guess(network: GuessNetwork, record: GuessRecord) -> GuessFile:
    """Write a network as the file that is kept."""
    weights = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    data = safetensors.torch.save(weights, {RECORD_FIELD: record.model_dump_json()})
    return read_guess(data, "what was written")


def shape_of(model: BaseModel, look_width: int) -> Shape:
    """The shape of a network that predicts rows for a base model."""
    norms = {name: float(model.vocabulary(name).float().norm(dim=-1).mean()) for name in model.encoder_names}
    return Shape(look_width, dict(model.encoder_widths), norms)


@lru_cache(maxsize=2)
def network_of(data: bytes) -> GuessNetwork:
    """The network of a guess's bytes, in float32 on the CPU."""
    record = read_guess(data, "a guess").record
    network = GuessNetwork(Shape(**record.shape))
    network.load_state_dict({name: value.float() for name, value in safetensors.torch.load(data).items()})
    return network.eval().requires_grad_(False)


@dataclass(frozen=True)
class Guess:
    """A guess that is ready to predict."""

    file: GuessFile
    encoder: PictureEncoder

    @torch.no_grad()
    def rows(self, pictures: Sequence[NDArray[np.uint8]], kind: str, num_vectors: int) -> Embedding:
        """Predict the rows of a concept from its pictures (H, W, 3).

        A number of vectors that the guess was not trained with gets rows that are spread over them.
        """
        network = network_of(self.file.data)
        looks_PTW = self.encoder.looks(pictures[:MOST_PICTURES])
        shown_BP = torch.ones(1, len(looks_PTW), dtype=torch.bool)
        kinds_B = torch.tensor([KINDS.index(kind)])
        rows = network(looks_PTW[None], shown_BP, kinds_B, min(num_vectors, network.shape.max_vectors))
        return Embedding({name: spread(rows_BND[0], num_vectors) for name, rows_BND in rows.items()})


def open_guess(file: GuessFile, model: BaseModel, encoders: Sequence[Path] = ()) -> Guess:
    """Make a guess ready for a base model; `encoders` are the folders that it may see through.

    Raises:
        BaseModelMismatchError: it was trained for another base model.
        SettingsError: its image encoder is not at hand.
    """
    record = file.record
    if record.base_revision != model.revision:
        raise BaseModelMismatchError(
            f"the guess {file.digest[:12]} was trained for {record.base_model} ({record.base_revision[:12]}), but this "
            f"is {model.id} ({model.revision[:12]}): train one for it with `textinv guess train`, or start from a word"
        )
    if record.encoder_digest is None:
        return Guess(file, own_encoder(model))
    for folder in encoders:
        if encoder_digest(folder) == record.encoder_digest:
            return Guess(file, _loaded(folder, str(model.device)))
    raise SettingsError(
        f"the guess {file.digest[:12]} sees through the image encoder {record.encoder}, which is none of the setting "
        f"`encoders` here ({', '.join(map(str, encoders)) or 'nothing'}): name its folder, or start from a word"
    )


def start_of(
    spec: TrainSpec,
    pictures: Sequence[Picture],
    load: Callable[[str], GuessFile],
    encoders: Sequence[Path] = (),
) -> Start | None:
    """The first rows of a concept whose spec names a guess; None where it names none. `load` reads one by its digest.

    Raises:
        InputError: it is not there any more.
    """
    if spec.start_digest is None:
        return None
    return Start(
        f"guess {spec.start_digest[:12]}", partial(_predict, load(spec.start_digest), spec, pictures, encoders)
    )


def work_of(plan: Plan, spec: TrainSpec, work_id: str = "") -> Work:
    """A plan's concept as work, with pictures and guess from where the plan found them: for who has no store."""

    def load(digest: str) -> GuessFile:
        source = plan.guesses[digest]
        return read_guess(source.read(), source.name)

    pictures = fetch_pictures(spec, lambda digest: plan.pictures[digest].read())
    return Work(spec, pictures, work_id=work_id, start=start_of(spec, pictures, load))


def _predict(
    file: GuessFile, spec: TrainSpec, pictures: Sequence[Picture], encoders: Sequence[Path], model: BaseModel
) -> Embedding:
    guess = open_guess(file, model, encoders)
    return guess.rows([picture.pixels for picture in pictures], spec.kind, spec.num_vectors)


_loaded = lru_cache(maxsize=1)(load_encoder)


@lru_cache(maxsize=8)
def encoder_digest(folder: Path) -> str:
    """SHA-256 over the weights of an encoder's folder, hex."""
    found: Any = hashlib.sha256()
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        found.update(file.name.encode())
        with file.open("rb") as opened:
            while block := opened.read(1 << 22):
                found.update(block)
    return str(found.hexdigest())
