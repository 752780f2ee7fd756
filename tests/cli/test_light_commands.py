"""Commands that ask the store, and neither draw nor learn, do without the libraries that do."""

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.structure.forks import cli_without, command_without, run_in_forks
from textinv.embedding import Embedding
from textinv.manifest import load_manifest
from textinv.plan import make_plan
from textinv.registry import Registry
from textinv.settings import Settings
from textinv.store import EmbeddedServer, ensure_store

pytestmark = pytest.mark.store
ROOT = Path(__file__).resolve().parents[2]
MANIFEST = str(ROOT / "manifests" / "quickstart.yaml")
HEAVY = ("torch", "diffusers", "transformers", "ray", "fastapi")
COMMANDS = {
    "concept ls": HEAVY,
    "concept show tulip": HEAVY,
    "concept show tulip@1 --json": HEAVY,
    "concept rollback tulip --to 1": (),
    "job ls": (*HEAVY, "numpy", "PIL"),
    "keys ls": (*HEAVY, "numpy", "PIL"),
    "fleet status": HEAVY,
    "store status": HEAVY,
    f"plan {MANIFEST}": (*HEAVY, "numpy"),
}
"""What each must not import."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store in which all of a manifest is done, and a base model that was looked up before."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home)
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    try:
        registry = Registry(ensure_store(settings))
        for planned in make_plan(load_manifest(Path(MANIFEST)), registry, settings=settings).specs:
            spec = planned.spec
            registry.publish(
                spec.name,
                Embedding({"text_encoder": torch.ones(4, 192)}),
                {"spec": spec.model_dump(mode="json"), "sample_passes": 400, "seconds": 20.0},
                fingerprint=spec.fingerprint,
                base_model=spec.base_model,
                base_revision=spec.base_revision,
                files={"preview.png": picture.getvalue()},
            )
        yield home
    finally:
        EmbeddedServer(home).down()


MISSING = (*HEAVY, "numpy", "PIL")


@pytest.fixture(scope="module")
def ended(home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """What each command did, where what it must not import is missing."""
    programs = {
        command: command_without(missing, MISSING, ["--home", str(home), *command.split()])
        for command, missing in COMMANDS.items()
    }
    first = f"{cli_without(MISSING)}\nimport boto3, textinv.jobs, textinv.registry, textinv.store"
    return run_in_forks(tmp_path_factory.mktemp("ended"), first, programs)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split("/")[0])
def test_it_runs_where_there_are_no_heavy_libraries_and_prints_no_nested_data(
    command: str, ended: dict[str, subprocess.CompletedProcess[str]]
) -> None:
    done = ended[command]
    assert done.returncode == 0, done.stderr[-2000:]
    assert "--json" in command or not set("{}") & set(done.stdout)
    if command.startswith("plan"):
        assert "0 new, 0 changed, 4 done" in done.stdout
