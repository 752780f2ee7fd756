"""What operators deploy: the Serve config is checked strictly, and the dashboard draws what is measured."""

import json
import re
from pathlib import Path

import pytest
import yaml

from services.application import build
from services.config import ServiceConfig
from services.drawing.meters import COUNTERS, GAUGES
from tests.services.serve_file_check import check_serve_file
from textinv.errors import SettingsError

DEPLOY = Path(__file__).parents[2] / "services" / "deploy"


def test_the_shipped_config_passes_and_builds_an_application() -> None:
    schema = check_serve_file(DEPLOY / "serve.yaml")
    (application,) = schema.applications
    assert build(ServiceConfig.model_validate(application.args)) is not None


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ((), "aplications"),
        (("http_options",), "prot"),
        (("applications", 0), "route_prefx"),
        (("applications", 0, "args"), "max_replica"),
        (("applications", 0, "deployments", 0), "max_ongoing_request"),
        (("applications", 0, "deployments", 0, "autoscaling_config"), "min_replica"),
    ],
    ids=lambda value: str(value),
)
def test_a_mistyped_key_is_an_error_that_names_it(where: tuple[str | int, ...], key: str, tmp_path: Path) -> None:
    stated = yaml.safe_load((DEPLOY / "serve.yaml").read_text())
    stated["applications"][0]["deployments"] = [{"name": "Front", "autoscaling_config": {"min_replicas": 1}}]
    target = stated
    for step in where:
        target = target[step]
    target[key] = 1
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump(stated))
    with pytest.raises(SettingsError, match=key):
        check_serve_file(path)


def test_the_dashboard_draws_only_what_is_measured_and_all_of_it() -> None:
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    drawn = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"ray_(textinv_\w+)", target["expr"])
    }
    assert drawn == set(GAUGES) | set(COUNTERS)


def test_fewer_replicas_at_most_than_at_least_is_refused() -> None:
    with pytest.raises(ValueError, match="max_replicas"):
        ServiceConfig(min_replicas=3, max_replicas=2)


def test_fewer_pictures_that_may_wait_than_one_request_may_ask_for_are_refused() -> None:
    with pytest.raises(ValueError, match=r"max_waiting is 3.*max_num_images .4"):
        ServiceConfig(max_waiting=3, max_num_images=4)
    assert ServiceConfig(max_waiting=4, max_num_images=4).max_waiting == 4


@pytest.mark.parametrize("size", ["768", "0x64", "64x", "64 x 64", "64X64"])
def test_a_size_to_measure_that_cannot_be_read_is_refused_by_name(size: str) -> None:
    with pytest.raises(ValueError, match=f"'{size}' is not of the form"):
        ServiceConfig(warm_sizes=("64x96", size))
