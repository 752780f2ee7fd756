"""One self-contained HTML file that tells a job's story: no scripts, nothing loaded, readable in ten years.

Owns the page. Everything that came from people or files is escaped; pictures are data URIs.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from textinv.jobs.advice import advice_for, why_stopped
from textinv.outputs import write_output
from textinv.report.curve import loss_curve
from textinv.report.story import ConceptStory, JobStory

_MISSING = {"waiting": "Not learned yet.", "running": "Still being learned."}


def write_page(story: JobStory, path: Path) -> None:
    """Write the page of a job, in place of an older one."""
    write_output(path, page(story).encode())


def page(story: JobStory) -> str:
    """The page of a job as HTML."""
    style = (files("textinv.report") / "page.css").read_text(encoding="utf-8")
    title = escape(f"{story.job.name}: what was learned")
    body = "".join((_summary(story), *(_article(concept) for concept in story.concepts)))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{style}</style></head><body>{body}</body></html>\n"
    )


def _summary(story: JobStory) -> str:
    job, concepts = story.job, story.concepts
    done = [concept for concept in concepts if concept.detail.status.state == "done"]
    passes = sum(int(concept.record.get("sample_passes", 0)) for concept in done)
    facts = [
        ("job", job.id),
        ("submitted", job.submitted),
        ("base model", f"{job.base_model} at {job.base_revision[:12]}"),
        ("concepts", f"{len(done)} of {job.num_concepts} learned"),
        ("sample passes", f"{passes:,}"),
    ]
    rows = "".join(_row(concept) for concept in concepts)
    left = f'<p class="quiet">{story.left_out} more concepts are not shown.</p>' if story.left_out else ""
    return (
        f"<header><h1>{escape(job.name)}</h1>{_facts(facts)}</header>"
        "<table><thead><tr><th>concept</th><th>state</th><th>steps</th><th>fidelity</th><th>editability</th></tr>"
        f"</thead><tbody>{rows}</tbody></table>{left}"
    )


def _row(concept: ConceptStory) -> str:
    record, scores = concept.record, concept.scores
    cells = (
        f'<a href="#{_anchor(concept)}">&lt;{escape(concept.spec.name)}&gt;</a>',
        escape(concept.detail.status.state),
        escape(str(record.get("steps", ""))),
        _number(scores.get("fidelity")),
        _number(scores.get("editability")),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _article(concept: ConceptStory) -> str:
    spec, record = concept.spec, concept.record
    status, failure = concept.detail.status, concept.detail.failure
    version = f"@{status.version}" if status.version is not None else ""
    heading = f"<h2>&lt;{escape(spec.name)}{version}&gt;</h2><p class='quiet'>{escape(_verdict(concept))}</p>"
    problem = f'<p class="problem">{escape(failure.message)}<br>{advice_for(failure.code)}</p>' if failure else ""
    curve = loss_curve(concept.curve, record.get("kept_step"), escape(f"loss of {spec.name}", quote=True))
    shown = [(picture, "png", ref.caption or "") for picture, ref in zip(concept.pictures, spec.pictures, strict=False)]
    gone = "" if shown else '<p class="quiet">The training pictures are not in the store any more.</p>'
    parts = [_part("Training pictures, as they were trained", gone or _pictures(shown, f"picture of {spec.name}"))]
    if concept.previews:
        drawn = [(picture, "jpeg", f"step {step}") for step, picture in concept.previews]
        parts.append(_part("Drawn while it learned", _pictures(drawn, f"preview of {spec.name}")))
    parts.append(_part("Loss on the fixed batch", curve))
    parts.append(_part("Figures", _facts(_figures(concept))))
    if failure and failure.evidence:
        parts.append(_part("Workers that died with it", _facts(list(map(_death, failure.evidence)))))
    asked = escape(json.dumps(spec.model_dump(mode="json", exclude={"init_embedding"}), indent=2, ensure_ascii=False))
    parts_html = f'<div class="parts">{"".join(parts)}</div>'
    details = f"<details><summary>What was asked: the whole spec</summary><pre>{asked}</pre></details>"
    return f'<article id="{_anchor(concept)}">{heading}{problem}{parts_html}{details}</article>'


def _verdict(concept: ConceptStory) -> str:
    state, record = concept.detail.status.state, concept.record
    if state in _MISSING:
        return _MISSING[state]
    steps = f" after {record['steps']} steps" if "steps" in record else ""
    return f"Ended{steps}: {why_stopped(str(record.get('stopped', state)))}."


def _figures(concept: ConceptStory) -> list[tuple[str, str]]:
    spec, record, scores = concept.spec, concept.record, concept.scores
    figures = [("kind", spec.kind), ("recipe", spec.recipe), ("vectors", str(spec.num_vectors))]
    figures += [("started from", str(record.get("start") or record.get("started_from", spec.init)))]
    for name, label in (("sample_passes", "sample passes"), ("seconds", "seconds"), ("worker", "worker")):
        if name in record:
            figures.append((label, str(record[name])))
    labels = {
        "fidelity": "fidelity (drawn to real)",
        "real_to_real": "real to real",
        "initializer_fidelity": "initializer's words to real",
        "editability": "editability",
    }
    figures += [(label, _number(scores[name])) for name, label in labels.items() if scores.get(name) is not None]
    norms = concept.evaluation.get("norm_ratio") or {}
    figures += [(f"norm over that of a word ({encoder})", _number(norm)) for encoder, norm in norms.items()]
    cosines = record.get("cosine_to_initializer") or {}
    figures += [(f"cosine to where it started ({encoder})", _number(cosine)) for encoder, cosine in cosines.items()]
    if error := concept.evaluation.get("error"):
        figures.append(("why there are no scores", str(error.get("message"))))
    judge = concept.evaluation.get("judge") or {}
    figures += [
        (f"judge: {name.replace('_', ' ')}", _number(value))
        for name, value in judge.items()
        if isinstance(value, float)
    ]
    return figures


def _death(death: Mapping[str, Any]) -> tuple[str, str]:
    where = f"process {death.get('pid')} on node {str(death.get('node', ''))[:12]}"
    return str(death.get("worker", "")), f"at step {death.get('step')}: {death.get('reason')} ({where})"


def _part(title: str, content: str) -> str:
    return f"<section><h3>{title}</h3>{content}</section>"


def _pictures(pictures: Iterable[tuple[bytes, str, str]], described: str) -> str:
    figures = [
        f'<figure><img alt="{escape(described, quote=True)} {number}" '
        f'src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for number, (data, kind, caption) in enumerate(pictures, 1)
    ]
    return f'<div class="pictures">{"".join(figures)}</div>'


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in facts)}</dl>"


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else ""


def _anchor(concept: ConceptStory) -> str:
    return f"c-{concept.spec.fingerprint[:16]}"
