"""Rules that hold between fields: names, captions, templates, initializers, bands.

Owns the checks that no single field's type can express. Each finds problems and leaves the rest to the others.
"""

from collections.abc import Iterator, Sequence

from textinv.errors import InputError
from textinv.manifest.fields import ConceptFields, ImageEntry, TrainingFields
from textinv.manifest.origin import Origin, Place, Problem
from textinv.placeholders import NAME_RULE, ConceptRef, is_name, mentions_in, refs_in, split_prompt

Concepts = Sequence[tuple[int, ConceptFields]]
EMBEDDING_FILE = "file:"


def broken_rules(concepts: Concepts, origin: Origin, defaults: TrainingFields | None = None) -> list[Problem]:
    """Everything that breaks a rule."""
    problems = [*_names(concepts, origin)]
    if defaults is not None:
        problems += _training(defaults, ("defaults",), origin)
    for index, concept in concepts:
        place = ("concepts", index)
        problems += _training(concept, place, origin)
        problems += _captions(concept, place, origin)
    return problems


def caption_problem(caption: str, name: str) -> str | None:
    """What is wrong with a caption of a concept, if anything."""
    try:
        refs = mentions_in(caption)
    except InputError as error:
        return f"the caption {caption!r}: {error.message}; only {{}} or <{name}> may stand in it"
    own = ConceptRef(name) in refs
    others = [ref.placeholder for ref in refs if ref != ConceptRef(name)]
    if others:
        return f"the caption {caption!r} names another concept, {others[0]}: only {{}} or <{name}> may stand in it"
    if "{}" not in caption and not own:
        return (
            f"the caption {caption!r} does not name the concept, so nothing would be learned from its picture: write "
            f"{{}} or <{name}> where the concept goes"
        )
    return None


def caption_text(caption: str, name: str) -> str:
    """The caption with `{}` where the concept goes."""
    pieces = split_prompt(caption.strip())
    return "".join("{}" if piece == ConceptRef(name) else str(piece) for piece in pieces)


def _names(concepts: Concepts, origin: Origin) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, concept in concepts:
        place = ("concepts", index, "name")
        if not is_name(concept.name):
            lower = concept.name.lower().replace(" ", "-")
            hint = f": did you mean {lower!r}?" if is_name(lower) else ""
            yield origin.problem(place, f"{concept.name!r} is not a valid name: {NAME_RULE}{hint}")
        elif concept.name in first:
            line = origin.line(("concepts", first[concept.name], "name"))
            yield origin.problem(place, f"{concept.name!r} is the name of two concepts (also line {line}): rename one")
        else:
            first[concept.name] = index


def _training(fields: TrainingFields, place: Place, origin: Origin) -> Iterator[Problem]:
    if isinstance(fields.templates, list):
        yield from _templates(fields.templates, (*place, "templates"), origin)
    if fields.init is not None:
        yield from _init(fields.init, (*place, "init"), origin)
    if fields.min_steps is not None and fields.max_steps is not None and fields.min_steps > fields.max_steps:
        message = f"{fields.min_steps} is more than max_steps ({fields.max_steps}): lower it"
        yield origin.problem((*place, "min_steps"), message)
    band = fields.advanced.timesteps if fields.advanced else None
    if band is not None and not 0 <= band[0] < band[1] <= 1000:
        message = f"{band} is not a band: write [first, end] with 0 <= first < end <= 1000"
        yield origin.problem((*place, "advanced", "timesteps"), message)


def _templates(templates: Sequence[str], place: Place, origin: Origin) -> Iterator[Problem]:
    if not templates:
        yield origin.problem(place, "the list is empty: write lines with {}, or object, or style")
    for index, line in enumerate(templates):
        if problem := _template_problem(line):
            yield origin.problem((*place, index), problem)


def _template_problem(line: str) -> str | None:
    if "{}" not in line:
        return f"{line!r} has no {{}}: write it where the concept goes"
    try:
        refs = refs_in(line)
    except InputError as error:
        return f"{line!r}: {error.message}"
    return f"{line!r} names the concept {refs[0].placeholder}: only {{}} may stand in a template" if refs else None


def _init(init: str, place: Place, origin: Origin) -> Iterator[Problem]:
    if not init.strip():
        yield origin.problem(place, "it is blank: write a word, auto, <name> or file:PATH")
    try:
        if refs_in(init) and parse_ref_or_none(init) is None:
            message = f"{init!r} mixes words and concepts: write either a text or one <name>"
            yield origin.problem(place, message)
    except InputError as error:
        yield origin.problem(place, error.message)
    if init.startswith(EMBEDDING_FILE) and origin.folder is None:
        yield origin.problem(place, "files cannot be read here: import the embedding and write <name>")


def parse_ref_or_none(init: str) -> ConceptRef | None:
    """The concept that an initializer names, if it is one placeholder and nothing else.

    Raises:
        InputError: no version has as many digits as it asks for.
    """
    pieces = list(split_prompt(init.strip()))
    return pieces[0] if len(pieces) == 1 and isinstance(pieces[0], ConceptRef) else None


def _captions(concept: ConceptFields, place: Place, origin: Origin) -> Iterator[Problem]:
    for index, entry in enumerate(concept.images if isinstance(concept.images, list) else ()):
        if isinstance(entry, ImageEntry) and entry.caption is not None:
            problem = caption_problem(entry.caption, concept.name)
            if problem:
                yield origin.problem((*place, "images", index, "caption"), problem)
