"""Processor seconds of the commands that people type all day, each in a process of its own, on a store of their own.

The store holds every concept of the quickstart, with a word's rows. Writes `build/bench/commands.json`; run alone with
`python tests/benchmarks/commands.py`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from textinv.embedding import Embedding
from textinv.manifest import load_manifest
from textinv.models import load_base_model
from textinv.plan import make_plan
from textinv.registry import Registry
from textinv.settings import Settings
from textinv.store import EmbeddedServer, ensure_store

QUICKSTART = Path(__file__).resolve().parents[2] / "manifests" / "quickstart.yaml"
COMMANDS: dict[str, tuple[tuple[str, ...], float]] = {
    "textinv --help": (("--help",), 0.3),
    "textinv job ls": (("job", "ls"), 0.6),
    "textinv concept ls": (("concept", "ls"), 0.8),
    "textinv plan, everything done": (("plan", str(QUICKSTART)), 1.0),
    "textinv generate": (("generate", "a photo of <tulip>", "-o", "out.png"), 6.0),
}
"""What is typed, and the goal in seconds."""


def main() -> int:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("build/bench/commands.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tibench-") as folder:
        home = Path(folder)
        try:
            publish_all(Settings(home=home))
            found = {name: best(home, typed, args.repeats) for name, (typed, _) in COMMANDS.items()}
        finally:
            EmbeddedServer(home).down()
    for name, seconds in found.items():
        print(f"{name:34}{seconds:6.2f} s  (goal {COMMANDS[name][1]} s)")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    stated = {"cpu_seconds": found, "cpus": os.cpu_count(), "load": os.getloadavg()[0], "repeats": args.repeats}
    args.output.write_text(json.dumps(stated, indent=2))
    return 0


def publish_all(settings: Settings) -> None:
    """Publish the quickstart's concepts as if they had been learned."""
    registry, model = Registry(ensure_store(settings)), load_base_model("emoji", device="cpu")
    rows = Embedding({name: model.token_rows(name, "rose") for name in model.encoder_names})
    for planned in make_plan(load_manifest(QUICKSTART), registry, settings=settings).specs:
        spec = planned.spec
        base = {"base_model": spec.base_model, "base_revision": spec.base_revision}
        record = {"spec": spec.model_dump(mode="json")}
        registry.publish(spec.name, rows, record, fingerprint=planned.fingerprint, **base)


def best(home: Path, typed: tuple[str, ...], repeats: int) -> float:
    """The least processor seconds of several calls; one before them fills caches, as everybody's first call does."""
    times = [cpu_seconds(home, typed) for _ in range(repeats + 1)]
    return min(times[1:])


def cpu_seconds(home: Path, typed: tuple[str, ...]) -> float:
    """User and system seconds of one call."""
    before = os.times()
    environment = os.environ | {"TEXTINV_HOME": str(home)}
    subprocess.run(
        [sys.executable, "-m", "textinv.cli", *typed], env=environment, cwd=home, check=True, stdout=subprocess.DEVNULL
    )
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    sys.exit(main())
