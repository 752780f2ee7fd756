"""What the fleet shows of its Ray's nodes: CPUs, GPUs, their type and memory, each where Ray knows it."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cluster.driver.driver import Driver
from cluster.driver.nodes import NodeFacts, NodeWatch
from textinv.jobs.fleet import FleetSettings
from textinv.registry import Registry

LABELS = 'Component="",IsHeadNode="true",SessionName="session",Version="2.60.0",ip="127.0.0.1"'
PAGE = "\n".join(
    [
        "# HELP ray_node_gram_used Total GPU RAM usage on a ray node",
        "# TYPE ray_node_gram_used gauge",
        *(f'ray_node_gram_used{{GpuDeviceName="NVIDIA L4",GpuIndex="{n}",{LABELS}}} {n}024.0' for n in (1, 2)),
        *(f'ray_node_gram_available{{GpuDeviceName="NVIDIA L4",GpuIndex="{n}",{LABELS}}} 2.0e+04' for n in (1, 2)),
        f"ray_node_mem_used{{{LABELS}}} 8.0e+09",
    ]
)


class MetricsPage(BaseHTTPRequestHandler):
    """The metrics page of a node."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write((PAGE if self.path == "/metrics" else "").encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Where a node with two GPUs shows its metrics."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), MetricsPage)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def row(node: str, port: int = 1, alive: bool = True, **resources: float) -> dict[str, Any]:
    """A line of Ray's list of nodes."""
    named = {name.replace("_type_", "_type:"): value for name, value in resources.items()}
    return {
        "NodeID": node,
        "Alive": alive,
        "NodeManagerAddress": "127.0.0.1",
        "MetricsExportPort": port,
        "Resources": {"memory": 1e9, "node:127.0.0.1": 1.0, **named},
    }


def looked_at(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    watch = NodeWatch(lambda: rows, clock=lambda: 0.0)
    watch()
    watch.read_memory()
    return watch()


def test_gpus_are_counted_with_their_type_and_their_memory_together(port: int) -> None:
    (found,) = looked_at(row("a", port, CPU=16.0, GPU=2.0, accelerator_type_L4=1.0))
    total, used = 43_048 * 2**20, 3_048 * 2**20
    assert found == vars(NodeFacts("a", "127.0.0.1", 16.0, 2.0, "L4", total, used))


def test_what_ray_does_not_know_is_none_and_no_failure(port: int) -> None:
    silent, bare, gone = row("silent", GPU=1.0), row("bare", port, CPU=2.0), row("gone", alive=False, GPU=8.0)
    found = looked_at(silent, bare, gone)
    assert found == [vars(NodeFacts("bare", "127.0.0.1", 2.0, 0.0)), vars(NodeFacts("silent", "127.0.0.1", 0.0, 1.0))]


def test_a_ray_that_cannot_be_asked_leaves_the_nodes_as_they_were_last_seen() -> None:
    answers, ticks = [[row("a", CPU=1.0)]], iter(range(0, 1000, 10))

    def ask() -> list[dict[str, Any]]:
        if not answers:
            raise ConnectionError("Ray is gone")
        return answers.pop()

    watch = NodeWatch(ask, clock=lambda: float(next(ticks)))
    assert [[one["node"] for one in watch()] for _ in range(3)] == [["a"]] * 3
    assert answers == []


def test_a_driver_tells_the_nodes_with_its_status(registry: Registry) -> None:
    nodes = looked_at(row("a", CPU=2.0))
    crews, queues = (lambda *_: pytest.fail("nothing is to do"),) * 2
    driver = Driver(registry, "fleet", queues, crews, settings=FleetSettings(), nodes=nodes.copy)
    assert driver.status()["nodes"] == nodes


@pytest.mark.ray
def test_the_nodes_of_a_ray_without_gpus_are_told_by_their_ids(local_ray: str) -> None:
    import ray

    (found,) = NodeWatch()()
    assert found["node"] == ray.get_runtime_context().get_node_id()
    assert (found["cpus"], found["gpus"], found["gpu_type"], found["gpu_memory_bytes"]) == (4.0, 0.0, None, None)


PROGRAM = """
import json, ray
from cluster.driver.nodes import NodeWatch
ray.init(address="local", include_dashboard=False, num_cpus=1, num_gpus=2, resources={"accelerator_type:L4": 1.0},
         object_store_memory=80 * 2**20, log_to_driver=False, logging_level="ERROR")
watch = NodeWatch()
watch()
watch.read_memory()
print(json.dumps(watch()))
ray.shutdown()
"""


@pytest.mark.ray
@pytest.mark.load
def test_the_gpus_that_a_ray_hands_out_are_told_with_their_type() -> None:
    """The GPUs are Ray's word only, so there is no device whose memory a node could show."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=True)
    (found,) = json.loads(done.stdout.splitlines()[-1])
    assert (found["cpus"], found["gpus"], found["gpu_type"]) == (1.0, 2.0, "L4")
    assert found["gpu_memory_bytes"] is None
