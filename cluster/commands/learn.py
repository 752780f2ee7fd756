"""`textinv learn`: one concept from its pictures, without a manifest, followed to its first picture.

Owns the manifest that the options stand for, and drawing at the end; all else is `textinv submit`'s.
"""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.commands.submit import Gate, gate_mode, submitted
from textinv.cli.config import current_settings
from textinv.cli.generate import check_suffix, draw_here, in_format
from textinv.cli.output import AsJson, emit, literal, stderr
from textinv.outputs import write_output

_PREVIEW_EVERY = 100
"""Steps between previews; with any, a picture of the rows that are kept lies beside the version."""

if TYPE_CHECKING:
    from textinv.manifest.fields import Manifest


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(learn)


def learn(
    name: Annotated[str, typer.Argument(help="What prompts call it, without the brackets.")],
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURES...", help="Files, folders or globs.")],
    class_word: Annotated[
        str | None, typer.Option(help="What kind of thing it is, such as dog; default: found from the pictures.")
    ] = None,
    style: Annotated[bool, typer.Option("--style", help="Learn how the pictures look, not what they show.")] = False,
    recipe: Annotated[str | None, typer.Option(help="instant, fast, balanced or faithful; default: balanced.")] = None,
    base_model: Annotated[str, typer.Option(help="The base model to learn on.")] = "emoji",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Picture to draw at the end; default: NAME@VERSION.png.")
    ] = None,
    gate: Gate = "on",
    json: AsJson = False,
) -> None:
    """Learn one concept from its pictures, and draw it when it is learned."""
    from cluster.commands.follow import end_with, tell_of_the_gate, watch
    from cluster.driver.options import DriverOptions
    from textinv.evaluation.prompts import FIDELITY
    from textinv.generation import GenerateRequest

    settings, options = current_settings(), DriverOptions()
    stated = {"name": name, "images": pictures, "kind": "style" if style else "object", "preview_every": _PREVIEW_EVERY}
    said = {"class_word": class_word, "init": None if class_word else "auto", "recipe": recipe}
    chosen = {field: value for field, value in said.items() if value is not None}
    loaded = manifest_of({"base_model": base_model, "concepts": [{**stated, **chosen}]})
    if out is not None:
        check_suffix(out)
    made = submitted(loaded, settings, options, gate=gate_mode(gate))
    stderr().print(literal(made.text))
    status = watch(made.job_store, made.record, settings, options)
    tell_of_the_gate(made.job_store, made.record, status)
    if status.state != "done":
        end_with(status, json, made.facts)
    version = next((f"@{one.version}" for one in status.concepts if one.version), "")
    prompt = FIDELITY["style" if style else "object"].format(f"<{name}{version}>")
    (image,) = draw_here(GenerateRequest(prompt), base_model, settings)
    out = out or Path(f"{name}{version}.png")
    path = write_output(out, in_format(image.png(), out.suffix.lower()))
    facts = {**made.facts, "picture": str(path), "prompt": prompt, "concepts": dict(image.concepts)}
    text = (
        f'learned {", ".join(image.concepts)}; drew "{prompt}": {path}\n'
        f"`textinv concept show {name}` tells how good it is"
    )
    emit(facts, json, text)


def manifest_of(stated: dict[str, Any]) -> "Manifest":
    """The manifest that these fields are; paths start where the command runs.

    Raises:
        ManifestError: they say something that a manifest may not say.
    """
    from textinv.manifest.load import draft_text, settled
    from textinv.manifest.origin import Origin

    return settled(draft_text(json_module.dumps(stated), Origin("textinv learn", Path())))
