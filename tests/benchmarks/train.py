"""`make bench-train`: our recipes beside what everyone else does, on the demo base and concepts it has never seen.

(a) the diffusers example script, when its path is given: one process per concept at its README's settings; (b) an
honest loop: base loaded once, latents cached, 475 steps of 2 samples, with one vector and with as many as `faithful`
has; (c) each of our recipes. All start from the concept's own word; where a title says `auto`, from the words that our
`init: auto` finds without a guess, which helps the loop as well; where it says `guess`, from what the base's guess
predicts (`instant` takes no step at all). Then the cost of a packed step beside the bare forward and backward.
Prints a table, and tier by tier how each way stands beside `balanced` from `auto` (paired by concept and seed, with the
bounds of 95 of 100 draws; styles are learned with the first seed only), and writes `build/bench/train.json`.

A long run can be split: `make bench-train ARGS="--resume --seconds 200"` goes on where the last call stopped and starts
nothing after that. What was measured with other weights, recipes or objective is measured anew. `--only-steps` measures
what a step costs, also in two forwards, in about a minute.
"""

import argparse
import hashlib
import itertools
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from train_concepts import chosen_concepts, shipped_guess, works_of
from train_methods import Method, Script, Sizes, by_plain_loop, by_recipe, by_word, measure
from train_pieces import Finished, Piece, Row, pieces_of
from train_step import step_costs
from train_tiers import ANCHOR, Tiers, print_tiers, tiers_of

from textinv.demo import WEIGHTS
from textinv.models import load_base_model, revisions_of
from textinv.models.load import GUESS_FILE
from textinv.plan.guesses import GUESS
from textinv.plan.recipes import EVALUATION_SHARE, INSTANT, RECIPES
from textinv.plan.resolve import BaseFacts
from textinv.spec import OBJECTIVE_VERSION

SCRIPT, PLAIN, PLAIN_WIDE = "(a) diffusers script", "(b) honest loop", "(b) honest loop, wide"
PLAIN_AUTO = "(b) wide loop, auto"
AUTO = {"init": "auto"}
Table = Mapping[str, Mapping[str, Any] | None]
"""A row for every method; None for one that was skipped."""
SAME = "what (a) learned"
"""The table of the concepts that the script learned, with its one seed."""
ONE_BY_ONE = (SCRIPT, PLAIN, PLAIN_WIDE, PLAIN_AUTO)
COLUMNS = {
    "concepts_per_hour": "concepts/h",
    "sample_passes": "passes",
    "seconds": "s/concept",
    "cpu_seconds": "CPU s",
    "peak_memory_bytes": "memory MB",
    "fidelity": "fidelity",
    "editability": "editability",
    "judge": "judge",
    "judge_editability": "judge edit",
    "norm_ratio": "norm",
}
UNITS = {"concepts_per_hour": "1/h", "sample_passes": "1", "seconds": "s", "cpu_seconds": "s", "peak_memory_bytes": "B"}


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark."""
    args = _parser().parse_args(arguments)
    begun = time.monotonic()
    sizes = Sizes(
        args.concepts, tuple(range(args.seeds)), args.slots, args.inference_steps, args.plain_rate, args.threads
    )
    if args.only_steps:
        _print_costs(_step_costs(sizes, args.repeats))
        return 0
    methods = _methods(args)
    limits = {SCRIPT: args.diffusers_concepts}
    settings = {title: _setting(defaults, sizes, args) for title, (_, defaults) in methods.items()}
    concepts = chosen_concepts(args.concepts)
    objects = sum(concept.kind == "object" for concept in concepts)
    counts = {seed: objects if seed else len(concepts) for seed in sizes.seeds}
    pieces = list(pieces_of(settings, limits, num_concepts=counts, size=args.slots, alone=ONE_BY_ONE))
    finished = Finished(args.output.with_suffix(".pieces.json"), args.resume)

    def run(piece: Piece) -> Row:
        chosen = concepts[piece.first : piece.first + piece.count]
        return measure(*methods[piece.title], chosen, piece.seed, sizes)

    for piece in pieces:
        late = args.seconds is not None and time.monotonic() - begun > args.seconds
        if piece in finished or late or (args.only and not any(part in piece.title for part in args.only)):
            continue
        row = finished.measure(piece, run)
        print(f"  {piece.key}: {row['seconds']:.0f} s", flush=True)
    of = {title: [piece for piece in pieces if piece.title == title] for title in methods}
    tables = {"all": {SCRIPT: None} | {title: finished.row(own) for title, own in of.items()}}
    if args.diffusers_script:
        tables[SAME] = {title: finished.row(own, args.diffusers_concepts) for title, own in of.items()}
    of_script = {name: getattr(args, name) for name in ("diffusers_concepts", "diffusers_steps")}
    stated = vars(sizes) | (of_script if args.diffusers_script else {}) | {"repeats": args.repeats}
    tiers = tiers_of(finished, of, concepts) if ANCHOR in of else {}
    _finish(tables, tiers, _step_costs(sizes, args.repeats), stated, args.output)
    return 0


def _finish(
    tables: Mapping[str, Table], tiers: Tiers, costs: Mapping[str, float], sizes: Mapping[str, Any], output: Path
) -> None:
    """Print the tables and write them."""
    for name, rows in tables.items():
        print(f"{name:26}" + "".join(f"{title:>13}" for title in COLUMNS.values()))
        for title, row in sorted(rows.items()):
            print(f"{title:26}" + ("  skipped" if row is None else "".join(_cells(row))))
    print_tiers(tiers)
    _print_costs(costs)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(_report(tables, costs, sizes) | {"tiers": tiers}, indent=2))
    print(f"written to {output}")


def _methods(args: argparse.Namespace) -> dict[str, tuple[Method, Mapping[str, Any]]]:
    methods: dict[str, tuple[Method, Mapping[str, Any]]] = {}
    if args.diffusers_script:
        methods[SCRIPT] = (Script(args.diffusers_script, args.diffusers_python, args.diffusers_steps), {})
    wide = {"num_vectors": RECIPES["faithful"].num_vectors}
    methods |= {PLAIN: (by_plain_loop, {"num_vectors": 1}), PLAIN_WIDE: (by_plain_loop, wide)}
    methods[PLAIN_AUTO] = (by_plain_loop, wide | AUTO)
    for recipe in args.recipes:
        methods[f"(c) {recipe}"] = (by_recipe, {"recipe": recipe})
        methods[f"(c) {recipe}, auto"] = (by_recipe, {"recipe": recipe} | AUTO)
    if "balanced" in args.recipes:  # as soon as the stopping rule fires
        sooner = {"recipe": "balanced", "min_steps": 80}
        methods["(c) balanced, sooner"] = (by_recipe, sooner)
        methods["(c) balanced, sooner, auto"] = (by_recipe, sooner | AUTO)
    if (WEIGHTS / GUESS_FILE).is_file():
        methods |= _from_guess(args.recipes)
    methods |= {f"(c) {name}": (by_recipe, json.loads(fields)) for name, _, fields in map(_split, args.variant)}
    return methods | {"initializer's word": (by_word, {})}


def _from_guess(recipes: Sequence[str]) -> dict[str, tuple[Method, Mapping[str, Any]]]:
    """Our recipes from the rows that the base's guess predicts, and `balanced` at a third of its sample passes."""
    guess = {"init": GUESS}
    methods: dict[str, dict[str, Any]] = {f"(c) {INSTANT}": {"recipe": INSTANT}}
    methods |= {f"(c) {recipe}, guess": {"recipe": recipe} | guess for recipe in recipes if recipe != INSTANT}
    if "balanced" in recipes:
        full = RECIPES["balanced"]
        third = {"max_steps": full.max_steps // 3, "min_steps": full.min_steps // 3}
        methods["(c) balanced, a third, guess"] = {"recipe": "balanced"} | third | guess
    return {title: (by_recipe, fields) for title, fields in methods.items()}


def _setting(defaults: Mapping[str, Any], sizes: Sizes, args: argparse.Namespace) -> str:
    """What a piece's result depends on besides its concepts and seed."""
    recipe = RECIPES.get(str(defaults.get("recipe")))
    parts = {
        "fields": defaults,
        # a field that came later, and says nothing: what was measured without it holds
        "recipe": recipe and {name: value for name, value in vars(recipe).items() if name != "init" or value},
        "objective": OBJECTIVE_VERSION,
        "script_steps": args.diffusers_steps,
    }
    if defaults.get("init") == GUESS or defaults.get("recipe") == INSTANT:
        parts["guess"] = shipped_guess().digest
    stated = json.dumps(
        [revisions_of(str(WEIGHTS))[0], parts, sizes.num_inference_steps, sizes.plain_learning_rate, sizes.num_slots]
    )
    return hashlib.sha256(stated.encode()).hexdigest()[:8]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concepts", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--inference-steps", type=int, default=20)
    parser.add_argument("--plain-rate", type=float, default=2e-3, help="AdamW's learning rate of the honest loop")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="*", default=[], help="run methods with one of these in their title")
    parser.add_argument("--only-steps", action="store_true", help="what a step costs, and nothing else; writes nothing")
    parser.add_argument("--resume", action="store_true", help="keep the pieces that earlier calls finished")
    parser.add_argument("--seconds", type=float, help="start no piece after so long; --resume goes on later")
    parser.add_argument("--repeats", type=int, default=12, help="timed steps of each kind")
    learning = [name for name in RECIPES if name != INSTANT]
    parser.add_argument("--recipes", nargs="*", default=learning, choices=list(RECIPES))
    parser.add_argument("--variant", action="append", default=[], help='NAME={"recipe": "fast", "advanced": {...}}')
    parser.add_argument("--diffusers-script", type=Path, help="path of examples/textual_inversion/textual_inversion.py")
    parser.add_argument("--diffusers-python", default=sys.executable, help="python of the environment for the script")
    parser.add_argument("--diffusers-concepts", type=int, default=2, help="concepts that the script learns")
    parser.add_argument("--diffusers-steps", type=int, default=3000, help="updates of the script; its README's")
    parser.add_argument("--output", type=Path, default=Path("build/bench/train.json"))
    return parser


def _step_costs(sizes: Sizes, repeats: int) -> dict[str, float]:
    torch.set_num_threads(sizes.num_threads)
    model = load_base_model(str(WEIGHTS))
    works = works_of(chosen_concepts(sizes.num_slots), {}, 0, BaseFacts(model.revision, model.native_px))
    costs = step_costs(model, works, repeats)
    return costs | {"look share": costs["look"] / (costs["packed"] * works[0].spec.stop.every_steps)}


def _split(variant: str) -> tuple[str, str, str]:
    return variant.partition("=")


def _print_costs(costs: Mapping[str, float]) -> None:
    packed, bare, unet = costs["packed"], costs["bare"], costs["unet"]
    print(f"packed step {packed:.3f} s = {packed / bare:.2f} x UNet and text encoder = {packed / unet:.2f} x UNet")
    print(f"the same step in two forwards of half the samples: {costs['split'] / packed - 1:+.1%}")
    print(f"looks at the fixed batch cost {costs['look share']:.1%} of the training")


def _cells(row: Mapping[str, float]) -> list[str]:
    scaled = {**row, "peak_memory_bytes": row["peak_memory_bytes"] / 1e6}
    return [f"{scaled[name]:13.3f}" if name in scaled else f"{'-':>13}" for name in COLUMNS]


def _report(tables: Mapping[str, Table], costs: Mapping[str, float], sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Every measure of every recipe beside each anchor that was run; beside the script, of its concepts only."""
    measures = []
    for name, rows in tables.items():
        for anchor, ours in itertools.product(rows, rows):
            if ours.startswith("(c)") and anchor.startswith("(a)" if name == SAME else "(b)"):
                measures += _beside(ours, rows[ours] or {}, anchor, rows[anchor] or {})
    measures.append(_measure("packed step, against UNet and text encoder", costs["packed"], costs["bare"], "s"))
    measures.append(_measure("packed step, against UNet", costs["packed"], costs["unet"], "s"))
    measures.append(_measure("step in two forwards, against one", costs["split"], costs["packed"], "s"))
    measures.append(
        _measure("looks at the fixed batch, of the training", costs["look share"], EVALUATION_SHARE, "share")
    )
    return {
        "measures": measures,
        "tables": tables,
        "sizes": dict(sizes),
        "device": _device(sizes),
        "base": revisions_of(str(WEIGHTS))[0],
    }


def _beside(ours: str, found: Row, anchor: str, its: Row) -> list[dict[str, Any]]:
    return [
        _measure(f"{ours}: {name}, against {anchor}", found[name], its[name], UNITS.get(name, "score"))
        for name in COLUMNS
        if name in found and name in its
    ]


def _measure(name: str, ours: float, anchor: float, unit: str) -> dict[str, Any]:
    return {"measure": name, "ours": ours, "anchor": anchor, "ratio": ours / anchor if anchor else None, "unit": unit}


def _device(sizes: Mapping[str, Any]) -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {sizes['num_threads']} threads"


if __name__ == "__main__":
    sys.exit(main())
