"""Dashboards and alerts: PromQL that parses, over figures that the code shows, each alert with its runbook entry."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.worker.meters import COUNTERS, GAUGES, HISTOGRAMS
from services.drawing import meters

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "cluster" / "deploy" / "monitoring"
TRAINING = (
    set(COUNTERS) | set(GAUGES) | {f"{name}_{part}" for name in HISTOGRAMS for part in ("bucket", "count", "sum")}
)
SERVICE = set(meters.COUNTERS) | set(meters.GAUGES)
LABELS = {tag for family in (COUNTERS, GAUGES, HISTOGRAMS) for _, tags in family.values() for tag in tags}


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def drawn() -> list[str]:
    panels = json.loads((MONITORING / "training.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def expressions() -> Iterator[str]:
    yield from drawn()
    yield from (rule["expr"] for rule in alerts())


def names(expression: str) -> set[str]:
    return set(re.findall(r"\bray_(\w+)", expression))


def test_dashboard_and_alerts_name_only_figures_that_the_code_shows() -> None:
    for expression in expressions():
        assert names(expression) <= TRAINING | SERVICE, expression
        for group in re.findall(r"by \(([^)]*)\)", expression):
            assert set(re.split(r",\s*", group)) <= LABELS | {"le"}, expression


def test_the_dashboard_draws_every_figure_of_training() -> None:
    shown = set().union(*map(names, drawn()))
    assert set(COUNTERS) | set(GAUGES) <= shown
    assert {f"{name}_bucket" for name in HISTOGRAMS} <= shown


def test_every_expression_is_promql() -> None:
    promql_parser = pytest.importorskip("promql_parser")
    for expression in expressions():
        promql_parser.parse(expression)
    with pytest.raises(ValueError, match=r"."):
        promql_parser.parse("sum(rate(ray_textinv_leases_total)")


def test_every_alert_is_in_the_runbook_and_the_runbook_knows_no_other() -> None:
    runbook = (ROOT / "cluster" / "README.md").read_text()
    assert set(re.findall(r"`(Textinv\w+)`", runbook)) == {rule["alert"] for rule in alerts()}


def test_alerts_are_complete() -> None:
    for rule in alerts():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
