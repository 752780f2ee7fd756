"""A job's curves and previews as TensorBoard's event files, one folder per concept.

Owns the names under which they appear. Needs the package `tensorboard`, which is not installed with textinv.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from textinv.errors import SettingsError
from textinv.outputs import output_folder
from textinv.report.story import ConceptStory, JobStory


def write_events(story: JobStory, folder: Path) -> int:
    """Write each concept's curve, scores and pictures into `folder/<name>`; how many concepts had something to show.

    Raises:
        SettingsError: the package `tensorboard` is not installed.
    """
    writer_type = _writer_type()
    shown = [concept for concept in story.concepts if concept.curve or concept.previews]
    for concept in shown:
        writer = writer_type(str(output_folder(folder / concept.spec.name)))
        _write(writer, concept)
        writer.close()
    return len(shown)


def _writer_type() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise SettingsError("event files need the package tensorboard: pip install tensorboard") from error
    return SummaryWriter


def _write(writer: Any, concept: ConceptStory) -> None:
    for step, loss in concept.curve:
        writer.add_scalar("loss on the fixed batch", loss, step)
    for step, preview in concept.previews:
        writer.add_image("preview", _pixels(preview), step, dataformats="HWC")
    kept_step = concept.record.get("kept_step")
    for name in ("fidelity", "editability"):
        if (score := concept.scores.get(name)) is not None:
            writer.add_scalar(name, score, kept_step)
    for number, picture in enumerate(concept.pictures):
        writer.add_image(f"training picture/{number}", _pixels(picture), 0, dataformats="HWC")


def _pixels(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
