"""Draw what the benchmarks measured: `build/bench/*.svg` from the files beside them.

What was not measured there is drawn from `figures.json`, whose numbers are those of README.md. With `--recorded` the
plots of the project's README are drawn from these alone, beside this file. The same figures give the same bytes.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

HERE = Path(__file__).resolve().parent
RECORDED = HERE / "figures.json"
SHOWN = ("likeness", "guess")
"""The plots of the project's README."""
Figures = Mapping[str, Any]
_NAMES = {
    "(b) honest loop": "one vector",
    "(b) honest loop, wide": "four vectors",
    "(b) wide loop, auto": "four vectors, auto",
    "(c) balanced, sooner": "balanced, 80 steps",
    "(c) balanced, sooner, auto": "balanced, 80 steps",
}
_STYLES = {
    "recipes": {"marker": "o", "color": "#3d6fb4", "label": "our recipes, from one plain word"},
    "recipes, auto": {"marker": "o", "color": "#c2571a", "label": "our recipes, init: auto"},
    "plain loop": {"marker": "s", "color": "#6b6b6b", "linestyle": "none", "label": "plain loop, 475 steps"},
}


def main() -> int:
    """Draw every plot that there are figures for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", type=Path, default=Path("build/bench"), help="folder of the benchmarks' files")
    parser.add_argument("--recorded", action="store_true", help="draw the recorded figures, beside this file")
    args = parser.parse_args()
    folder, figures = (HERE if args.recorded else args.bench), json.loads(RECORDED.read_text())
    wanted = {name: figures[name] for name in SHOWN} if args.recorded else figures | measured(args.bench)
    folder.mkdir(parents=True, exist_ok=True)
    # Text stays text, ids do not depend on chance: a small file, and the same one every time.
    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "textinv", "font.size": 9, "font.family": "sans-serif"}
    ):
        for name, of_plot in wanted.items():
            figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
            axes.spines[["top", "right"]].set_visible(False)
            PLOTS[name](axes, of_plot)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)
            print(f"written to {folder / f'{name}.svg'}")
    return 0


def measured(folder: Path) -> dict[str, Any]:
    """Figures from the benchmarks' own files."""
    found: dict[str, Any] = {}
    train, serve = (_read(folder / f"{name}.json") for name in ("train", "serve"))
    tables = [table for table in train.get("tables", {}).values() if any(key.startswith("(c)") for key in table)]
    if tables:
        found["likeness"] = _likeness(tables[0])
    parts = serve.get("parts", {})
    stored = parts.get("concepts", {}).get("details", {})
    if stored:
        found["stored"] = [[int(count), costs["one_s"] / costs["different_s"]] for count, costs in stored.items()]
    waits = {"over HTTP": "latency", "processor time": "clocked", "the same UNet for both": "alike"}
    ratios = [[said, parts[part]["measures"][0]["ratio"]] for said, part in waits.items() if part in parts]
    return found | ({"latency": ratios} if ratios else {})


def likeness(axes: Any, figures: Figures) -> None:
    """Likeness against what a concept costs, all methods."""
    for series, style in _STYLES.items():
        points = sorted(figures[series], key=lambda point: point[1])
        axes.plot([point[1] for point in points], [point[2] for point in points], **style)
        for name, cost, score in points:
            over = 6 if series == "recipes, auto" else -12
            aside = -4 if series == "plain loop" else 0
            where = {"xytext": (aside, over), "textcoords": "offset points", "ha": "center"}
            axes.annotate(name, (cost, score), color=style["color"], **where)
    axes.axhline(figures["word"], linestyle=":", color="#6b6b6b")
    axes.annotate("the plain word, nothing learned", (1, figures["word"]), (0, 4), textcoords="offset points")
    axes.set(xlabel="processor seconds per concept", ylabel="likeness", xlim=(0, 54), ylim=(0.27, 0.56))
    axes.legend(frameon=False, loc=(0.6, 0.17))


def stored(axes: Any, figures: Any) -> None:
    """Throughput of a batch of different concepts beside one of one concept, by how many are stored."""
    points = sorted(figures)
    axes.plot([count for count, _ in points], [share for _, share in points], marker="o")
    axes.set(xscale="log", ylim=(0, 1.2), xlabel="stored concepts", ylabel="pictures/s, different concepts / one")


def latency(axes: Any, figures: Any) -> None:
    """Mean latency under load, as a share of the anchor's."""
    names = [name for name, _ in figures]
    axes.bar(names, [share for _, share in figures], width=0.5)
    axes.axhline(1.0, linestyle=":", color="#6b6b6b")
    axes.annotate("@serve.batch run to completion", (-0.25, 1.0), (0, 4), textcoords="offset points")
    axes.set(ylim=(0, 1.2), ylabel="mean latency / the anchor's")


def slots(axes: Any, figures: Any) -> None:
    """Samples per second by the number of slots."""
    points = sorted(figures["samples_per_s"])
    axes.plot([count for count, _ in points], [speed for _, speed in points], marker="o")
    axes.set(xlabel=f"slots ({figures['device']})", ylabel="samples per second", xlim=(0, None), ylim=(0, None))


def guess(axes: Any, figures: Figures) -> None:
    """Likeness of particular things after some steps, by how many concepts the guess was trained on."""
    for steps, points in figures["steps"].items():
        axes.plot([count for count, _ in points], [score for _, score in points], marker="o", label=f"{steps} steps")
    axes.axhline(figures["words"], linestyle=":", color="#6b6b6b")
    axes.annotate("60 steps from ranked words", (100, figures["words"]), (0, 4), textcoords="offset points")
    axes.set(xscale="log", xlabel="concepts that the guess has seen", ylabel="likeness")
    axes.legend(frameon=False)


PLOTS: dict[str, Callable[[Any, Any], None]] = {
    "likeness": likeness,
    "stored": stored,
    "latency": latency,
    "slots": slots,
    "guess": guess,
}


def _likeness(table: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {series: [] for series in _STYLES}
    for title, row in table.items():
        if title == "initializer's word":
            found["word"] = row["fidelity"]
        elif row is not None and title.startswith(("(b)", "(c)")):
            series = "plain loop" if title.startswith("(b)") else "recipes, auto" if "auto" in title else "recipes"
            name = _NAMES.get(title, title.removeprefix("(c) ").removesuffix(", auto"))
            found[series].append([name, row["cpu_seconds"], row["fidelity"]])
    return found


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


if __name__ == "__main__":
    sys.exit(main())
