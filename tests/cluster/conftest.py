"""Small jobs on the demo base, and what they are learned with."""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from cluster.commands import register
from tests.models.tiny_bases import make_base
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.home_driver import HomeDriver
from textinv.jobs.layout import spec_sheet_key
from textinv.jobs.record import job_id, now, spec_sheets_of
from textinv.models import base_revision, load_base_model
from textinv.models.base import BaseModel
from textinv.registry import Registry
from textinv.settings import Settings, StoreSettings, environment_of
from textinv.spec import OptimizerSpec, PictureRef, StopSpec, TrainSpec, image_key
from textinv.store.memory import MemoryStore
from textinv.store.protocol import ObjectStore

MakeJob = Callable[..., JobRecord]
FLEET = "fleet-of-tests"


def picture_bytes(colour: tuple[int, int, int], shift: int) -> bytes:
    """A PNG of a disk."""
    y, x = np.mgrid[:64, :64]
    pixels = np.full((64, 64, 3), (255, 230, 200), np.uint8)
    pixels[(x - 28 - shift) ** 2 + (y - 32) ** 2 < 300] = colour
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def put_pictures(store: ObjectStore, number: int) -> tuple[PictureRef, ...]:
    """Put three pictures of the concept with this number where workers find them."""
    colour = (37 * number % 256, 91 * number % 256, 200 - 53 * number % 200)
    refs = []
    for shift in range(3):
        body = picture_bytes(colour, 3 * shift)
        digest = hashlib.sha256(body).hexdigest()
        store.put(image_key(digest), body)
        refs.append(PictureRef(digest=digest, name=f"{number}-{shift}.png"))
    return tuple(refs)


GENTLE = OptimizerSpec(kind="sphere", learning_rate=0.02, schedule="constant")
"""Steps so small that a rounding stays one: at .08 rad a step, `concept-10` grows a difference of 1e-7, as another
number of neighbours or threads brings it, to that of several steps."""


def make_spec(store: ObjectStore, number: int, max_steps: int, revision: str) -> TrainSpec:
    """A concept that takes exactly `max_steps` small steps."""
    return TrainSpec(
        name=f"concept-{number}",
        kind="object",
        pictures=put_pictures(store, number),
        base_model="emoji",
        base_revision=revision,
        class_word="ball",
        init="ball",
        num_vectors=1,
        resolution_px=64,
        crop="center",
        flip=False,
        templates=("a {}", "an emoji of a {}"),
        samples_per_step=2,
        max_steps=max_steps,
        min_steps=max_steps,
        optimizer=GENTLE,
        timesteps=(300, 1000),
        stop=StopSpec(rule="fixed", every_steps=5, window=2, threshold=0.1, num_samples=4),
        seed=number,
        evaluate=False,
        recipe="test",
    )


@pytest.fixture(scope="session")
def revision() -> str:
    """The demo base's revision."""
    return base_revision("emoji")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A small SD1 with random weights, of the demo base's words: who learns does not matter to most of these tests."""
    torch.set_num_threads(1)
    return load_base_model(str(make_base("sd1", tmp_path_factory.mktemp("tiny"))), device="cpu", dtype="float32")


@pytest.fixture
def registry() -> Registry:
    """An empty registry in memory."""
    return Registry(MemoryStore())


@pytest.fixture(scope="session")
def make_job(revision: str) -> MakeJob:
    """Puts a job of small concepts into a store and opens it."""

    def make(
        store: ObjectStore, num_concepts: int = 3, max_steps: int = 5, name: str = "small", **changes: object
    ) -> JobRecord:
        plain = [make_spec(store, number, max_steps, revision) for number in range(num_concepts)]
        specs = [spec.model_copy(update=changes) for spec in plain]
        record = JobRecord(
            id=job_id(name, ((spec.name, spec.fingerprint) for spec in specs)),
            name=name,
            submitted=now(),
            fleet=FLEET,
            base_model="emoji",
            base_revision=revision,
            num_concepts=num_concepts,
            num_sheets=1,
        )
        for number, body in enumerate(spec_sheets_of(specs)):
            store.put(spec_sheet_key(record.id, number), body)
        return JobStore(store).open(record)

    return make


@pytest.fixture
def run_beside_a_driver(
    tmp_path: Path, s3_settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[int, Any]]]:
    """Runs a command where a driver serves already, so that none is started: its exit code, and its JSON."""
    settings = Settings(home=tmp_path / "home", store=s3_settings)
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    app = typer.Typer()
    register(app)
    HomeDriver(settings.home).prepare()
    lock = HomeDriver(settings.home).lock()
    assert lock is not None

    def run(*arguments: str) -> tuple[int, Any]:
        result = CliRunner().invoke(app, [*arguments, "--json"])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, json.loads(result.stdout)

    yield run
    os.close(lock)
