"""The KubeRay files against KubeRay's own schemas, in which an unknown field is an error here."""

import copy
import gzip
import json
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.scripts.scripts import drain_node

from cluster.worker.worker import DRAIN_S, LOOK_S
from tests.services.serve_file_check import check_serve_file

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "cluster" / "deploy" / "kuberay").glob("*.yaml"))


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


@cache
def schema_of(kind: str) -> dict[str, Any]:
    data = (ROOT / "tests" / "data" / "kuberay" / f"{kind}.v1.schema.json.gz").read_bytes()
    schema: dict[str, Any] = json.loads(gzip.decompress(data))
    for name, inner in schema["properties"].items():
        if name != "metadata":
            close(inner)
    return schema | {"additionalProperties": False}


def close(schema: Any) -> None:
    """Forbid what a schema does not know."""
    if isinstance(schema, dict):
        if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
        for inner in schema.values():
            close(inner)
    elif isinstance(schema, list):
        for inner in schema:
            close(inner)


def fill(document: Any, schema: dict[str, Any]) -> Any:
    """Put in the defaults, as the API server does before it checks."""
    if isinstance(document, dict):
        for name, inner in schema.get("properties", {}).items():
            if "default" in inner:
                document.setdefault(name, copy.deepcopy(inner["default"]))
            if name in document:
                fill(document[name], inner)
    elif isinstance(document, list):
        for item in document:
            fill(item, schema.get("items", {}))
    return document


def problems(document: dict[str, Any]) -> list[str]:
    schema = schema_of(document["kind"])
    filled = fill(copy.deepcopy(document), schema)
    return [
        f"{error.json_path}: {error.message}" for error in jsonschema.Draft202012Validator(schema).iter_errors(filled)
    ]


def cluster_of(document: dict[str, Any]) -> dict[str, Any]:
    spec = document["spec"]
    found: dict[str, Any] = spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec
    return found


def pods(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    cluster = cluster_of(document)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        yield group["template"]["spec"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_is_what_kuberay_takes(path: Path) -> None:
    assert problems(load(path)) == []


def test_a_mistyped_field_of_a_group_or_of_a_pod_is_found() -> None:
    document = load(ROOT / "cluster" / "deploy" / "kuberay" / "raycluster.yaml")
    group = document["spec"]["workerGroupSpecs"][0]
    group["minReplica"] = 0
    group["template"]["spec"]["containers"][0]["imagee"] = "x"
    document["spec"]["autoscalerOptions"]["version"] = "v3"
    found = " ".join(problems(document))
    assert all(word in found for word in ("minReplica", "imagee", "v3"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_driver_and_queue_stay_off_preemptible_nodes_and_gpus_come_from_zero(path: Path) -> None:
    cluster = cluster_of(load(path))
    head, groups = cluster["headGroupSpec"], {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    assert head["template"]["spec"]["nodeSelector"] == {"textinv/capacity": "on-demand"}
    assert head["rayStartParams"]["num-cpus"] == "0"
    spot = groups["gpu-spot"]
    assert (spot["replicas"], spot["minReplicas"]) == (0, 0)
    assert spot["template"]["spec"]["nodeSelector"] == {"textinv/capacity": "spot"}
    assert spot["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert cluster["enableInTreeAutoscaling"] is True


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_worker_pod_that_is_to_end_drains_its_node_in_words_that_ray_knows_before_it_stops(path: Path) -> None:
    for group in cluster_of(load(path))["workerGroupSpecs"]:
        pod = group["template"]["spec"]
        shell, flag, line = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        assert (shell, flag) == ("/bin/sh", "-c")
        drain, sleep, stop = (shlex.split(part) for part in line.split(";"))
        assert drain[:2] == ["ray", "drain-node"]
        options = drain_node.make_context("drain-node", drain[2:]).params
        assert options["reason"] == "DRAIN_NODE_REASON_PREEMPTION"
        assert options["node_id"] is None  # its own
        assert sleep[0] == "sleep"
        assert LOOK_S + DRAIN_S < float(sleep[1]) < options["deadline_remaining_seconds"]
        assert stop == ["ray", "stop"]
        assert pod["terminationGracePeriodSeconds"] >= 60


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_ray_asks_for_a_token_and_no_process_is_root(path: Path) -> None:
    document = load(path)
    assert cluster_of(document)["authOptions"] == {"mode": "token"}
    for pod in pods(document):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert all(not one["securityContext"]["allowPrivilegeEscalation"] for one in pod["containers"])


def test_the_service_that_kuberay_deploys_is_checked_strictly(tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(load(ROOT / "cluster" / "deploy" / "kuberay" / "rayservice.yaml")["spec"]["serveConfigV2"])
    (application,) = check_serve_file(path).applications
    assert application.args["keys"] is True
