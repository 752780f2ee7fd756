"""The files of `ray up` through Ray's own validation, which is a private import: a newer Ray may have it elsewhere."""

from pathlib import Path
from typing import Any

import pytest
import yaml

FILES = sorted((Path(__file__).parents[2] / "cluster" / "deploy" / "ray-up").glob("*.yaml"))


def validate(config: dict[str, Any]) -> dict[str, Any]:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared: dict[str, Any] = prepare_config(config)
    validate_config(prepared)
    return prepared


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_ray_takes_the_file(path: Path) -> None:
    assert validate(yaml.safe_load(path.read_text()))["cluster_name"] == "textinv"


def test_a_mistyped_key_is_found() -> None:
    config = yaml.safe_load(FILES[0].read_text())
    config["idle_timeout_minute"] = 5
    with pytest.raises(Exception, match="idle_timeout_minute"):
        validate(config)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_ray_that_is_started_asks_for_the_token_that_goes_to_every_node(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    (token,) = [mounted for mounted in config["file_mounts"] if mounted.endswith("auth_token")]
    starts = [
        command
        for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"])
        for command in commands
        if "ray start" in command
    ]
    assert len(starts) == 2
    for command in starts:
        assert f"RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={token} ray start" in command
    assert "--dashboard-host=127.0.0.1" in starts[0]


def test_on_aws_gpus_come_from_zero_and_the_head_is_neither_spot_nor_for_training() -> None:
    config = yaml.safe_load((FILES[0].parent / "aws.yaml").read_text())
    types = config["available_node_types"]
    head = types[config["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert types["gpu-spot"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert [types[name]["min_workers"] for name in types] == [0, 0, 0]
