"""The card of a concept: what it is, how good, why it stopped, what it cost, and where its picture lies.

Owns the sentences that `textinv concept show` says, from a version's entry, its record and its scores. Records may come
from other programs, so nothing in them is taken for granted. Does not read the store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from textinv.cli.output import counted, literal, stdout
from textinv.cli.picture import drawn_in_blocks
from textinv.jobs.advice import why_stopped
from textinv.jobs.details import curve_of
from textinv.outputs import write_output
from textinv.registry import Described, VersionSummary

_BARS = "▁▂▃▄▅▆▇█"
_MAX_POINTS = 40
_SUFFIXES = {"image/jpeg": ".jpg", "image/webp": ".webp", "image/gif": ".gif"}


@dataclass(frozen=True)
class Shown:
    """A version with all that is said of it."""

    found: Described
    versions: Sequence[VersionSummary]
    evaluations: Sequence[Mapping[str, Any]]
    """Oldest first."""
    picture: tuple[bytes, str] | None
    """Its bytes and media type."""


def card(shown: Shown, home: Path) -> RenderableType:
    """The card; the picture is written under `home`, and drawn where the terminal has the colours for it."""
    entry, record = shown.found.entry, shown.found.record
    scores = dict(shown.evaluations[-1]) if shown.evaluations else {}
    lines = [
        ("learned", f"{_day(entry.created)}, on {entry.base_model or 'a base model that nobody named'}"),
        *_evidence(entry.name, record, scores),
        *_fallen(record),
        *_course(record),
        ("versions", _versions(shown)),
        ("files", ", ".join(f"{file} ({_size(artifact.size_bytes)})" for file, artifact in entry.artifacts.items())),
    ]
    parts: list[RenderableType] = [literal(_title(shown), "bold")]
    if shown.picture is not None:
        data, kind = shown.picture
        path = home / "pictures" / f"{entry.name}@{entry.version}{_SUFFIXES.get(kind, '.png')}"
        lines.append(("picture", str(write_output(path, data).absolute())))
        console = stdout()
        parts += [drawn_in_blocks(data)] if console.is_terminal and console.color_system == "truecolor" else []
    table = Table.grid(padding=(0, 2))
    for label, text in lines:
        table.add_row(literal(label, "dim"), literal(text))
    return Group(*parts, table)


def _title(shown: Shown) -> str:
    entry, record = shown.found.entry, shown.found.record
    spec = _mapping(record.get("spec"))
    kind = {"style": "a style", "object": "a thing"}.get(str(spec.get("kind")), "from another program")
    word = f", a kind of {spec['class_word']}" if spec.get("class_word") else ""
    vectors = "1 vector" if entry.num_vectors == 1 else f"{entry.num_vectors} vectors"
    return f"<{entry.name}@{entry.version}>: {kind}{word}, {vectors}"


def _evidence(name: str, record: Mapping[str, Any], scores: Mapping[str, Any]) -> list[tuple[str, str]]:
    encoders = [_mapping(one) for one in scores.get("encoders") or ()]
    problem = _mapping(scores.get("error")).get("message")
    if not encoders:
        why = f"not scored: {problem}" if problem else "not scored"
        pictures = "" if _mapping(record.get("spec")) else " --pictures FOLDER"
        return [("evidence", f"{why}; `textinv evaluate {name}{pictures}` does it"), *_rows(record, scores)]
    lines = []
    for one in encoders:
        by = f" (by {one.get('encoder')})" if len(encoders) > 1 else ""
        lines += [(f"likeness{by}", _likeness(one, scores.get("anchor_word")))] if _is_number(one, "fidelity") else []
        if _is_number(one, "editability"):
            lines.append((f"editability{by}", f"{one['editability']:.2f}: how well other prompts still work with it"))
    return lines + _rows(record, scores)


def _likeness(one: Mapping[str, Any], word: object) -> str:
    said = f"{one['fidelity']:.2f}"
    low, high = one.get("initializer_fidelity"), one.get("real_to_real")
    if _is_number(one, "initializer_fidelity"):
        said += f"; without learning, {repr(word) + ' reaches' if word else 'its first words reach'} {low:.2f}"
    if _is_number(one, "real_to_real"):
        said += f"; its pictures reach {high:.2f} among themselves"
    if low is not None and high is not None and high > low:
        share = (one["fidelity"] - low) / (high - low)
        nearer = f": {share:.0%} of the way" if share < 1 else ", and it is as like them"
        said += nearer if share > 0 else ": no nearer than without learning"
    return said


def _fallen(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is worse than in the version that was current when this one was published."""
    gate = _mapping(record.get("gate"))
    reasons = gate.get("reasons")
    if not isinstance(reasons, list) or not reasons:
        return []
    beside = f"beside version {gate['against']}: " if "against" in gate else ""
    return [("fallen", beside + "; ".join(map(str, reasons)))]


def _rows(record: Mapping[str, Any], scores: Mapping[str, Any]) -> list[tuple[str, str]]:
    norms = list(_mapping(scores.get("norm_ratio")).values())
    if not norms:
        return []
    mean = sum(norms) / len(norms)
    advice = "; far from 1, so prompts may stop working" if mean > 2 else ""
    return [("rows", f"{mean:.1f} times as long as a word's{advice}")]


def _course(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Its loss, why it stopped and what it cost; nothing for what another program learned."""
    lines = []
    losses = _losses(record)
    if losses:
        course = f"{sparkline(losses)}  {losses[0]:.4f} to " if len(losses) > 1 else ""
        lines.append(("loss", f"{course}{losses[-1]:.4f}"))
    stopped, spec = record.get("stopped"), _mapping(record.get("spec"))
    if isinstance(stopped, str):
        kept = f", and the rows of step {record['kept_step']} are kept" if "kept_step" in record else ""
        most = spec.get("max_steps", "?")
        where = f"at step {record['steps']} of at most {most}{kept}: " if record.get("steps") else ""
        lines.append(("stopped", f"{where}{why_stopped(stopped)}"))
    if _is_number(record, "sample_passes"):
        seconds = f", {timedelta(seconds=round(record['seconds']))}" if _is_number(record, "seconds") else ""
        pictures = f", from {counted(len(spec['pictures']), 'picture')}" if spec.get("pictures") else ""
        lines.append(("cost", f"{record['sample_passes']:,} sample passes{seconds}{pictures}"))
    return lines


def _losses(record: Mapping[str, Any]) -> list[float]:
    try:
        return [loss for _, loss in curve_of(record)]
    except (TypeError, KeyError, ValueError):
        return []  # another program's


def sparkline(values: Sequence[float]) -> str:
    """Values as a line of bars, thinned out to what fits beside a label."""
    if len(values) > _MAX_POINTS:
        values = [values[place * (len(values) - 1) // (_MAX_POINTS - 1)] for place in range(_MAX_POINTS)]
    low, high = min(values), max(values)
    return "".join(_BARS[round((value - low) / ((high - low) or 1) * (len(_BARS) - 1))] for value in values)


def _versions(shown: Shown) -> str:
    mine = shown.found.entry.version
    said = [f"{one.version}{_standing(one)}" for one in shown.versions]
    older = any(one.current and one.version != mine for one in shown.versions)
    return ", ".join(said) + (f"; `textinv concept rollback {shown.found.entry.name} --to {mine}`" if older else "")


def _standing(one: VersionSummary) -> str:
    if one.current:
        return " (current)"
    return f" (held back: {one.held}; `textinv concept promote {one.name}@{one.version}`)" if one.held else ""


def _day(created: str) -> str:
    return created.replace("T", " ")[:16]


def _size(num_bytes: int) -> str:
    return f"{num_bytes} B" if num_bytes < 1000 else f"{num_bytes / 1000:.0f} KB"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_number(data: Mapping[str, Any], field: str) -> bool:
    return isinstance(data.get(field), int | float)
