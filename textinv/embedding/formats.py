"""Writing embeddings for other programs.

Owns which keys each program reads. One safetensors serves most of them, with the key `emb_params` for one text encoder
and the keys `clip_l` and `clip_g` for two: AUTOMATIC1111, Forge, ComfyUI, InvokeAI, kohya's scripts and diffusers (with
`token=`) take these. Any further key makes A1111 and diffusers refuse a file, so all else goes into its header.
"""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from textinv.embedding.embedding import Embedding, widths_by_encoder, write_safetensors
from textinv.embedding.keys import CLIPS_BY_PLACE, NO_KEYS, FileKeys
from textinv.errors import EmbeddingFormatError
from textinv.outputs import write_output
from textinv.spec import OUTPUT

ExportFormat = Literal["auto", "diffusers", "a1111-pt", "onetrainer"]
EXPORT_FORMATS: tuple[str, ...] = get_args(ExportFormat)
_SUFFIXES = (".safetensors", ".pt", ".bin")


def export_embedding(
    embedding: Embedding,
    name: str,
    format: str,  # the word that people type
    target: Path,
    metadata: Mapping[str, str] | None = None,
    keys: FileKeys = NO_KEYS,
) -> list[Path]:
    """Write an embedding for other programs and return the files.

    `target` is a folder, or the file itself, if it has the suffix of the one file that there is.

    `auto` is one safetensors for nearly all of them; `diffusers` a folder for `load_textual_inversion(folder)`;
    `a1111-pt` the web UI's own pickle; `onetrainer` the key that only OneTrainer reads. Programs that take
    their trigger from the file name are told `name`; diffusers is told `<name>`. `keys` are those of text encoders that
    go by what they are.

    Raises:
        EmbeddingFormatError: there is no such format, it cannot hold this embedding, or has another suffix.
        InputError: a file cannot be written.
    """
    if embedding.outputs and format in ("diffusers", "a1111-pt"):
        raise EmbeddingFormatError(
            f"{name} has rows that replace a text encoder's output, which no program that reads the format {format} "
            "supports: use auto or onetrainer"
        )
    writer = _WRITERS.get(format)
    if writer is None:
        raise EmbeddingFormatError(f"there is no export format {format!r}: choose from {', '.join(EXPORT_FORMATS)}")
    files = writer(embedding, name, {"format": "pt", "name": name, **(metadata or {})}, keys)
    if target.suffix.lower() not in _SUFFIXES or target.is_dir():
        return [write_output(target / file, body) for file, body in files.items()]
    suffixes = sorted({Path(file).suffix for file in files})
    if any("/" in file for file in files) or suffixes != [target.suffix.lower()]:
        raise EmbeddingFormatError(
            f"{target} does not fit the format {format}: name a folder, or a file that ends in {suffixes[0]}"
        )
    return [write_output(target, body) for body in files.values()]


def export_bytes(embedding: Embedding, name: str, metadata: Mapping[str, str] | None = None) -> bytes:
    """Write the one safetensors that nearly all programs read (format `auto`)."""
    return write_safetensors(_shared_keys(embedding, NO_KEYS), {"format": "pt", "name": name, **(metadata or {})})


def _auto(embedding: Embedding, name: str, metadata: Mapping[str, str], keys: FileKeys) -> dict[str, bytes]:
    return {f"{name}.safetensors": write_safetensors(_shared_keys(embedding, keys), metadata)}


def _shared_keys(embedding: Embedding, keys: FileKeys) -> dict[str, Tensor]:
    alone = widths_by_encoder(embedding.widths).keys() == {"text_encoder"}
    written = {"text_encoder": "emb_params"} if alone else CLIPS_BY_PLACE
    written = written | {encoder: names[0] for encoder, names in keys.items()}
    return _named(_without_nothing(embedding), written)


def _named(rows: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Rows by what a file calls their text encoders; those that are written into what it says keep their ending."""
    plain = {name: name.removesuffix(OUTPUT) for name in rows}
    return {names.get(plain[name], plain[name]) + name[len(plain[name]) :]: rows_ND for name, rows_ND in rows.items()}


def _without_nothing(embedding: Embedding) -> dict[str, Tensor]:
    """The rows but for zeros that an encoder reads in the place of those that are written into what it says: a file
    says that by leaving them out."""
    rows = embedding.rows
    return {name: rows_ND for name, rows_ND in rows.items() if bool(rows_ND.any()) or name + OUTPUT not in rows}


def _diffusers(embedding: Embedding, name: str, metadata: Mapping[str, str], _: FileKeys) -> dict[str, bytes]:
    files = {"text_encoder": "learned_embeds.safetensors", "text_encoder_2": "learned_embeds_2.safetensors"}
    if strange := sorted(embedding.rows.keys() - files.keys()):
        raise EmbeddingFormatError(
            f"diffusers cannot load a folder with rows of {' and '.join(strange)}: use the format auto, and load "
            "its tensors one by one if the pipeline has load_textual_inversion"
        )
    return {
        f"{name}/{files[encoder]}": write_safetensors({f"<{name}>": rows_ND}, metadata)
        for encoder, rows_ND in embedding.rows.items()
    }


def _a1111_pt(embedding: Embedding, name: str, metadata: Mapping[str, str], _: FileKeys) -> dict[str, bytes]:
    if list(embedding.rows) != ["text_encoder"]:
        raise EmbeddingFormatError(
            f"a1111-pt holds the rows of one text encoder, but {name} has those of {', '.join(embedding.rows)}: use "
            "the format auto"
        )
    contents = {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": embedding.rows["text_encoder"]},
        "name": name,
        "step": int(metadata.get("steps", "0")),
        "sd_checkpoint": None,
        "sd_checkpoint_name": metadata.get("base_model"),
    }
    buffer = io.BytesIO()
    torch.save(contents, buffer)
    return {f"{name}.pt": buffer.getvalue()}


def _onetrainer(embedding: Embedding, name: str, metadata: Mapping[str, str], keys: FileKeys) -> dict[str, bytes]:
    theirs = {"emb_params": "emp_params"} | {names[0]: names[1] for names in keys.values()}
    renamed = _named(_shared_keys(embedding, keys), theirs)
    return {f"{name}.safetensors": write_safetensors(renamed, metadata)}


def readers_of_clips(embedding: Embedding, format: str) -> str:
    """Which programs read an exported file of one or two CLIPs, or any with rows that are written into what a text
    encoder says."""
    if embedding.outputs:
        return _READERS_OF_OUTPUTS[format]
    alone = len(embedding.rows) == 1
    return {
        "auto": "AUTOMATIC1111, Forge, ComfyUI, InvokeAI and kohya's scripts read it"
        + (", and diffusers (token=)" if alone else ", OneTrainer, and diffusers in one call for each tensor"),
        "diffusers": "diffusers reads it (load_textual_inversion)"
        + ("" if alone else " in one call for each file; no other program takes the two for one concept"),
        "a1111-pt": "AUTOMATIC1111, Forge, ComfyUI, InvokeAI and kohya's scripts read it; OneTrainer does not",
        "onetrainer": "OneTrainer reads it"
        + ("; others that go by keys do not" if alone else ", and all that read the format auto"),
    }[format]


_READERS_OF_OUTPUTS = {
    "auto": "no other program draws it: rows that are written into what a text encoder says are read by OneTrainer "
    "alone (--format onetrainer)",
    "onetrainer": "OneTrainer reads it, and lets its text encoders read nothing in the concept's place; other programs "
    "do not",
}
_WRITERS: Mapping[str, Callable[[Embedding, str, Mapping[str, str], FileKeys], dict[str, bytes]]] = {
    "auto": _auto,
    "diffusers": _diffusers,
    "a1111-pt": _a1111_pt,
    "onetrainer": _onetrainer,
}
