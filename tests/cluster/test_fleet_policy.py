"""When crews come and go."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
from pydantic import ValidationError
from typer.testing import CliRunner

from cluster.driver import process as driver_process
from cluster.driver.crews import idle_crews, new_crews
from cluster.driver.options import DriverOptions
from cluster.queue.messages import WorkerCard
from cluster.queue.views import QueueView, WorkerView
from cluster.worker.config import BaseModelRef, PackSettings, WorkerConfig
from textinv.cli.app import build_app
from textinv.errors import InputError
from textinv.jobs.fleet import FleetSettings
from textinv.settings import Settings, StoreSettings


@dataclass
class NamedCrew:
    """A crew of a size."""

    name: str
    num_workers: int = 2
    ended: bool = False
    problem: str | None = None

    def abandon(self) -> None:
        self.ended = True


def view(waiting: int = 0, leased: int = 0, busy: tuple[str, ...] = ()) -> QueueView:
    workers = tuple(WorkerView(WorkerCard(f"{crew}/0", crew, 0), ("a",), 0.0) for crew in busy)
    return QueueView((), workers, (), 0, waiting, leased, 0, 0, ())


def test_more_work_brings_crews_up_to_the_maximum() -> None:
    settings = FleetSettings(max_workers=5, crew_size=2)
    assert new_crews(view(waiting=100), [], settings) == [2, 2, 1]
    assert new_crews(view(waiting=100), [NamedCrew("one"), NamedCrew("two")], settings) == [1]
    assert new_crews(view(waiting=2), [], settings) == [2]
    assert new_crews(view(waiting=1, leased=2), [NamedCrew("one")], settings) == [2]


def test_no_work_brings_no_crew_but_those_that_shall_stay() -> None:
    assert new_crews(view(), [], FleetSettings(max_workers=4)) == []
    assert new_crews(view(), [], FleetSettings(min_workers=1, max_workers=4)) == [1]


def test_a_draining_fleet_starts_no_crew_and_lets_all_go() -> None:
    settings, crews = FleetSettings(max_workers=4, draining=True), [NamedCrew("one"), NamedCrew("two")]
    assert new_crews(view(waiting=100), [], settings) == []
    assert idle_crews(view(waiting=100, leased=2, busy=("one",)), crews, settings) == ["one", "two"]


def test_only_crews_without_any_work_go_and_only_when_nothing_waits() -> None:
    settings, crews = FleetSettings(max_workers=4), [NamedCrew("one"), NamedCrew("two")]
    assert idle_crews(view(waiting=1), crews, settings) == []
    assert idle_crews(view(leased=1, busy=("one",)), crews, settings) == ["two"]
    assert idle_crews(view(), crews, FleetSettings(min_workers=2, max_workers=4)) == ["two"]


def node(cpus: int, gpus: int = 0, is_alive: bool = True) -> dict[str, Any]:
    return {"Alive": is_alive, "Resources": {"CPU": float(cpus)} | ({"GPU": float(gpus)} if gpus else {})}


def test_a_crew_is_as_large_as_the_gpus_of_one_node_unless_somebody_says_otherwise() -> None:
    nodes = [node(0), node(32, 4), node(96, 8), node(192, 16, is_alive=False)]
    assert DriverOptions(workers=64, threads_per_worker=4).fleet(nodes) == FleetSettings(max_workers=64, crew_size=8)
    assert DriverOptions(workers=6, threads_per_worker=4).fleet(nodes).crew_size == 6
    assert DriverOptions(workers=64, crew_size=2).fleet(nodes).crew_size == 2


def test_without_gpus_a_crew_has_room_on_one_node() -> None:
    nodes = [node(0), node(16), node(8)]
    assert DriverOptions(workers=64, threads_per_worker=4).fleet(nodes).crew_size == 4
    assert DriverOptions(workers=64, threads_per_worker=4, use_gpu=False).fleet([node(24, 8)]).crew_size == 6
    assert DriverOptions(workers=64, threads_per_worker=32).fleet(nodes).crew_size == 1


def test_before_any_node_with_a_gpu_is_there_a_crew_is_one_worker() -> None:
    assert DriverOptions(workers=16, threads_per_worker=1, use_gpu=True).fleet([node(64)]).crew_size == 1
    assert DriverOptions(workers=16, threads_per_worker=1).fleet([]).crew_size == 1


def test_a_workers_threads_are_its_share_of_the_nodes_and_not_of_the_drivers_machine() -> None:
    head, small, large, gone = node(0), node(8), node(32), node(96, is_alive=False)
    assert DriverOptions(workers=4).threads_on([head, small, large, gone]) == 10
    assert DriverOptions(workers=1).threads_on([head, small, large]) == 32
    assert DriverOptions(workers=64).threads_on([head, small]) == 1
    assert DriverOptions(workers=8).threads_on([head, node(32, 4), node(96, 8)]) == 8
    assert DriverOptions(workers=1).threads_on([node(16, 2)]) == 16
    assert DriverOptions(workers=8, use_gpu=False).threads_on([node(32, 4)]) == 4
    assert DriverOptions(workers=8).threads_on([head]) == 1
    assert DriverOptions(workers=8, threads_per_worker=3).threads_on([small]) == 3


def test_the_gpus_of_one_machine_are_split_by_their_numbers() -> None:
    assert DriverOptions(gpus="1,2").gpus == "1,2"
    for wrong in ("all", "1,", "-1"):
        with pytest.raises(ValidationError):
            DriverOptions(gpus=wrong)


def test_what_submit_says_of_workers_reaches_them(monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[WorkerConfig] = []
    monkeypatch.setattr(driver_process, "TrainCrew", lambda config, *_: configs.append(config))
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0})
    monkeypatch.setattr(ray, "nodes", lambda: [node(8)])
    options = DriverOptions(num_slots=3, threads_per_worker=2, compiled=True, checkpoint_every_s=7.0)
    start = driver_process.Starter("fleet", StoreSettings(), Settings(device="cpu"), options, "somewhere")
    start("crew", BaseModelRef("emoji", None, "r"), 1)
    expected = PackSettings(num_slots=3, threads=2, device="cpu", compiled=True, checkpoint_every_s=7.0)
    assert [config.pack for config in configs] == [expected]


@pytest.mark.parametrize("slots", [(), ("--slots", "auto")])
def test_compiling_takes_a_number_of_slots(slots: tuple[str, ...], tmp_path: Path) -> None:
    told = CliRunner().invoke(build_app(), ["submit", str(tmp_path / "none.yaml"), "--compile", *slots])
    assert isinstance(told.exception, InputError)
    assert "add --slots N" in told.exception.message
