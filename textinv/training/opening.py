"""Opening a slot: everything that is done once per concept, before its first step.

Owns what is checked, and the first rows or those of the checkpoint. Does not know the other slots, nor how pictures
(`latents`) and captions become what a step takes.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from textinv.errors import BaseModelMismatchError, CorruptObjectError, InputError, NewerProgramError
from textinv.models.base import BaseModel
from textinv.models.process import BAND_PARTS
from textinv.models.word_rows import spread
from textinv.spec import TrainSpec
from textinv.training.captions import captions_of, tokenize_captions
from textinv.training.checkpoint import Checkpoint
from textinv.training.context import CONTEXT_PROMPTS, encode_references
from textinv.training.initial import on_sphere, rows_of_embedding, rows_of_text
from textinv.training.latents import encode_work
from textinv.training.outputs import hear_captions, learning, write_behind
from textinv.training.ranking import FixedLosses, rank_words
from textinv.training.rows import fresh_state
from textinv.training.slot import Slot
from textinv.training.streams import Choices
from textinv.training.work import Work


def open_slot(
    model: BaseModel, work: Work, index: int, norms: Mapping[str, float], fixed_losses: FixedLosses
) -> tuple[Slot, dict[str, Tensor]]:
    """Prepare a concept for slot `index`; its row state as `RowTables.load` takes it.

    `norms` are the mean lengths of each vocabulary's rows.

    Raises:
        InputError: its pictures, captions or initializer cannot be used.
        CorruptObjectError: its checkpoint is broken, or another spec's.
    """
    spec = work.spec
    check_band(spec)
    learns = learning(spec, model)
    latents = encode_work(model, work)
    texts, own_captions = captions_of(spec)
    choices = Choices(
        num_pictures=latents.num_pictures,
        num_templates=len(spec.templates),
        band=spec.timesteps,
        process=model.process,
        flip=spec.flip,
        latent_shape=latents.shape,
        own_captions=own_captions,
    )
    references = None
    if spec.context_weight and spec.class_word and spec.rows == "input":  # of outputs it has no gradient
        texts = [*texts, *CONTEXT_PROMPTS]
        references = encode_references(model, spec.class_word, spec.num_vectors)
    slot = Slot(work, index, latents, tokenize_captions(model, texts, spec.num_vectors), choices, references, learns)
    slot.started_from = spec.init
    if work.checkpoint is None:
        rows = first_rows(model, slot, fixed_losses)
        slot.heard = hear_captions(model, slot, rows)
        if spec.rows == "output":
            rows = write_behind(model, slot, rows)
        return slot, fresh_state(on_sphere(rows, norms, slot), anchors=rows)
    checkpoint = _matching(Checkpoint.from_bytes(work.checkpoint), spec)
    slot.restore(checkpoint.counters)
    slot.best_rows = dict(checkpoint.best_rows)
    slot.heard = hear_captions(model, slot, checkpoint.rows)
    if spec.rows == "output":
        write_behind(model, slot, checkpoint.rows)
    return slot, dict(checkpoint.tensors)


def check_band(spec: TrainSpec) -> None:
    """Check that a spec's timesteps lie within time.

    Raises:
        InputError: they do not.
    """
    low, high = spec.timesteps
    if not 0 <= low < high <= BAND_PARTS:
        raise InputError(
            f"{spec.name}: the timestep band {low} to {high} is not within {BAND_PARTS}: choose one that is"
        )


def first_rows(model: BaseModel, slot: Slot, fixed_losses: FixedLosses) -> dict[str, Tensor]:
    """The rows (N, D) per text encoder that the spec asks to start from; the slot is told the words that were found.

    Raises:
        InputError: its initializer cannot be used with this base model.
        NewerProgramError: they start from something that this program cannot fetch.
    """
    spec = slot.spec
    if spec.init_embedding is not None:
        return rows_of_embedding(model, spec)
    given = _given_rows(model, slot.work)
    if spec.init == "auto":
        slot.started_from, rows = rank_words(model, slot, fixed_losses)
        if given is None or _is_better(model, slot, fixed_losses, rows, given):
            return rows
    elif given is None:
        return rows_of_text(model, spec.init, spec.num_vectors)
    else:
        slot.started_from = ""
    slot.start = slot.work.start.label if slot.work.start else ""
    return given


def _given_rows(model: BaseModel, work: Work) -> dict[str, Tensor] | None:
    """The rows that come with the work, where its spec names what they come from; None where it names nothing."""
    spec = work.spec
    if spec.start_digest is None:
        return None
    if work.start is None:
        raise NewerProgramError(
            f"{spec.name} starts from {spec.init!r} ({spec.start_digest[:12]}), which this program cannot fetch: it "
            "needs a newer worker"
        )
    embedding = work.start.rows(model)
    if problem := embedding.misfit(model.encoder_widths, model.id):
        raise BaseModelMismatchError(f"what {spec.name} is to start from does not fit: {problem}")
    return {encoder: spread(rows_ND, spec.num_vectors) for encoder, rows_ND in embedding.rows.items()}


def _is_better(
    model: BaseModel, slot: Slot, fixed_losses: FixedLosses, these: dict[str, Tensor], others: dict[str, Tensor]
) -> bool:
    """Whether rows have a loss on the fixed batch that is no greater than that of others, each as the slot would learn
    it: one look at each."""
    slots = [replace(slot, index=index) for index in range(2)]
    norms = {name: float(model.vocabulary(name).float().norm(dim=-1).mean()) for name in model.encoder_names}
    placed = [on_sphere(rows, norms, slot) for rows in (these, others)]
    stacked = {name: torch.stack([rows[name] for rows in placed]).to(model.device) for name in model.encoder_names}
    with torch.no_grad():
        first, second = fixed_losses(model, slots, stacked).tolist()
    return bool(first <= second)


def _matching(checkpoint: Checkpoint, spec: TrainSpec) -> Checkpoint:
    if checkpoint.fingerprint != spec.fingerprint:
        raise CorruptObjectError(
            f"the checkpoint of {spec.name} belongs to another spec ({checkpoint.fingerprint[:12]}, not "
            f"{spec.fingerprint[:12]}): delete it to start from the beginning"
        )
    return checkpoint
