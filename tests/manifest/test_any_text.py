"""Whatever a person or a program sends as a manifest, the answer is a manifest or a list of problems."""

import json
import re
import string
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from textinv.errors import ManifestError
from textinv.manifest import parse_manifest
from textinv.plan.reference import schema

FIELDS = sorted(
    {field for definition in schema()["$defs"].values() for field in definition["properties"]}
    | set(schema()["properties"])
)
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2000)
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["fox", "auto", "<fox>", "{}", "s3://a/b", "sha256:00", "file:x", "object", "fast"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=8,
)
LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
"""What YAML 1.1 takes for the end of a line."""
concepts = st.lists(st.dictionaries(st.sampled_from(FIELDS), values, max_size=8), max_size=3)


def problems_of(text: str) -> list[dict[str, Any]] | None:
    """Problems, or None for a good manifest; anything else that is raised fails the test."""
    try:
        parse_manifest(text, "m")
    except ManifestError as error:
        problems: list[dict[str, Any]] = error.details["problems"]
        return problems
    return None


def answer(text: str) -> None:
    """Parse; a problem must name the file, and its line must be one of the text's."""
    problems = problems_of(text)
    assert problems is None or problems
    for problem in problems or ():
        assert problem["file"] == "m"
        assert problem["message"]
        assert problem["line"] is None or 1 <= problem["line"] <= len(LINE_BREAK.split(text))
    json.dumps(problems)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
@example("? [a]\n: b")
@example("? {a: b}\n: c")
@example("!!binary aGVsbG8=")
@example("base_model: !!binary aGVsbG8=\nconcepts: !!set {a, b}")
@example("a: 2026-01-01\nb: 0o7\nc: 1_000\nd: 190:20:30")
@example("concepts: !!omap [a: 1]")
@example("<<: 3")
@example("{<<: [1, 2]}")
@example("&a : *a")
@example("--- a\n--- b")
@example("%YAML 9.9\n---\na: 1")
@example("1: a\ntrue: b\nnull: c\n2.5: d")
def test_any_text_is_answered(text: str) -> None:
    answer(text)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=string.ascii_lowercase + " :-[]{}&*!|>'\"\n#,?%@`~0123456789.", max_size=120))
def test_any_text_of_yamls_own_signs_is_answered(text: str) -> None:
    answer(text)


@settings(max_examples=100, deadline=None)
@given(values, concepts, st.dictionaries(st.sampled_from(FIELDS), values, max_size=5))
def test_any_values_of_known_fields_are_answered(base: Any, concepts: list[Any], defaults: dict[str, Any]) -> None:
    answer(json.dumps({"base_model": base, "concepts": concepts, "defaults": defaults}))
    good = {"name": "fox", "images": "a"}
    answer(json.dumps({"base_model": "emoji", "concepts": [{**good, **one} for one in concepts] or [good]}))
