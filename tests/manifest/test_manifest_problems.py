"""Everything that is wrong with a manifest is said at once: file, line, field and what to change."""

import pickle
from pathlib import Path

import pytest

from textinv.errors import ManifestError
from textinv.manifest import Manifest, load_manifest, parse_manifest
from textinv.manifest.load import MAX_BYTES

GOOD = """\
base_model: emoji
concepts:
  - name: fox
    images: foxes
"""


def problems_of(text: str) -> list[dict[str, object]]:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text, "m.yaml")
    problems: list[dict[str, object]] = caught.value.details["problems"]
    for problem in problems:
        assert str(problem["message"]) in caught.value.message
    return problems


def only_problem_of(text: str) -> tuple[object, object, str]:
    problems = problems_of(text)
    assert len(problems) == 1, problems
    return problems[0]["line"], problems[0]["field"], str(problems[0]["message"])


def test_a_good_manifest_is_read() -> None:
    manifest = parse_manifest(GOOD)
    assert isinstance(manifest, Manifest)
    assert [concept.name for concept in manifest.concepts] == ["fox"]


def test_an_unknown_field_is_named_with_its_line_and_the_field_that_was_meant() -> None:
    line, field, message = only_problem_of(GOOD + "    num_vector: 2\n")
    assert (line, field) == (5, "concepts[0].num_vector")
    assert "did you mean 'num_vectors'?" in message


def test_a_field_in_the_wrong_place_is_sent_to_the_right_one() -> None:
    _, _, message = only_problem_of(GOOD + "    kappa: 0.1\n")
    assert "it belongs under advanced" in message
    _, _, message = only_problem_of(GOOD + "seed: 3\n")
    assert "under defaults or in a concept" in message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("num_vectors: two", "must be a whole number, not 'two'"),
        ("num_vectors: 0", "must be greater than or equal to 1, not 0"),
        ("num_vectors: 1.5", "must be a whole number"),
        ("num_vectors: '2'", "must be a whole number, not '2'"),
        ("flip: 'yes'", "must be true or false, not 'yes'"),
        ("recipe: balance", "did you mean 'balanced'?"),
        ("class_word: 7", "must be text, not 7: put it in quotes"),
        ("resolution_px: 500", "multiple of 8"),
        ("learning_rate: .nan", "finite number"),
        ("templates: []", "the list is empty"),
        ("templates: [a photo]", "has no {}"),
        ("templates: ['{} and <cat>']", "names the concept <cat>"),
        ("templates: ['{} and <Cat>']", "names the concept <cat>"),
        ("templates: ['{} and <cat@999999999>']", "a version of 9 digits"),
        ("init: ' '", "it is blank"),
        ("init: a <fox>", "either a text or one <name>"),
        ("init: a <Fox>", "either a text or one <name>"),
        ("init: <fox@999999999>", "a version of 9 digits"),
        ("seed: ", "it has no value"),
        ("{min_steps: 9, max_steps: 3}", "9 is more than max_steps (3)"),
        ("advanced: {timesteps: [900, 300]}", "0 <= first < end <= 1000"),
        ("advanced: {timesteps: [900]}", "at least 2 entries"),
        ("advanced: {kapa: 1}", "did you mean 'kappa'?"),
        ("advanced: 3", "must be a mapping of fields, not 3"),
    ],
)
def test_what_a_field_may_not_say_is_explained(line: str, said: str) -> None:
    entry = "    <<: " + line if line.startswith("{") else "    " + line
    where, _, message = only_problem_of(GOOD + entry + "\n")
    assert said in message
    assert where == 5


def test_everything_wrong_is_reported_at_once_in_order_of_lines() -> None:
    problems = problems_of(
        "base_model: 3\nconcepts:\n  - name: Red Fox\n    images: a\n    flp: true\n  - images: [1]\n    seed: -1\n"
    )
    assert [problem["line"] for problem in problems] == [1, 3, 5, 6, 6, 7]
    assert all(problem["file"] == "m.yaml" for problem in problems)
    assert "did you mean 'red-fox'?" in str(problems[1]["message"])
    assert problems[3]["field"] == "concepts[1].name"


def test_two_concepts_of_one_name_are_refused_with_both_lines() -> None:
    line, field, message = only_problem_of(GOOD + "  - name: fox\n    images: others\n")
    assert (line, field) == (5, "concepts[1].name")
    assert "also line 3" in message


def test_a_key_that_is_written_twice_is_no_silent_override() -> None:
    line, field, message = only_problem_of(GOOD + "    seed: 1\n    seed: 2\n")
    assert (line, field) == (6, "concepts[0].seed")
    assert "first in line 5" in message


@pytest.mark.parametrize(
    "caption",
    [
        "a fox on the moon",
        "a <cat> on the moon",
        "a <fox@2> on the moon",
        "{} next to <cat>",
        "{} next to <Cat>",
        "{} next to <fox@999999999>",
        "",
    ],
)
def test_a_caption_without_the_placeholder_or_with_another_is_refused(caption: str) -> None:
    text = f"base_model: emoji\nconcepts:\n- name: fox\n  images:\n  - {{file: a.png, caption: '{caption}'}}\n"
    line, field, message = only_problem_of(text)
    assert (line, field) == (5, "concepts[0].images[0].caption")
    assert "{} or <fox>" in message


@pytest.mark.parametrize("name", ["Fox", "a b", "", "007", "-fox", "f" * 64, "füchslein", "a/b"])
def test_a_name_that_no_prompt_could_say_is_refused(name: str) -> None:
    _, field, _ = only_problem_of(f"base_model: emoji\nconcepts:\n- name: '{name}'\n  images: a\n")
    assert field == "concepts[0].name"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("a: [", "this is not YAML"),
        ("a: b: c", "this is not YAML"),
        ("- a\n- b\n", "mapping"),
        ("base_model: emoji\nconcepts: []\n", "at least 1 entry"),
        ("base_model: !!python/object/apply:os.system ['true']\nconcepts: []\n", "this is not YAML"),
        ("a: &a [*a]\n", "cannot be read as YAML"),
        ("\tbase_model: emoji", "this is not YAML"),
        ("a: \x00", "cannot be read as YAML"),
    ],
)
def test_what_is_no_manifest_at_all_is_refused_with_the_reason(text: str, said: str) -> None:
    assert said in " ".join(str(problem["message"]) for problem in problems_of(text))


def test_aliases_that_unfold_into_gigabytes_are_refused_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 12)]
    assert "more than 5000000 values" in str(problems_of("\n".join(lines))[0]["message"])


def test_nesting_without_end_is_refused() -> None:
    assert "deep" in str(problems_of("a: " + "[" * 400 + "]" * 400)[0]["message"])


def test_numbers_in_the_notation_of_programs_are_numbers() -> None:
    manifest = parse_manifest(GOOD + "    learning_rate: 5e-4\n    max_steps: 100\n")
    assert manifest.concepts[0].learning_rate == 5e-4


def test_anchors_and_merges_may_be_used() -> None:
    manifest = parse_manifest("base_model: emoji\nconcepts:\n- &a {name: fox, images: a}\n- {<<: *a, name: cat}\n")
    assert [(concept.name, concept.images) for concept in manifest.concepts] == [("fox", "a"), ("cat", "a")]


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"none\.yaml cannot be read: No such file"):
        load_manifest(tmp_path / "none.yaml")
    (tmp_path / "picture.yaml").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ManifestError, match=r"picture\.yaml is not UTF-8 text"):
        load_manifest(tmp_path / "picture.yaml")
    with (tmp_path / "huge.yaml").open("wb") as huge:
        huge.truncate(MAX_BYTES + 1)
    with pytest.raises(ManifestError, match=r"huge\.yaml is larger than 100 MB: split it"):
        load_manifest(tmp_path / "huge.yaml")


def test_a_thousand_problems_are_all_in_the_details_but_not_all_in_the_text() -> None:
    concepts = "".join(f"- {{name: c{number}, images: a, sede: 1}}\n" for number in range(1000))
    with pytest.raises(ManifestError) as caught:
        parse_manifest(f"base_model: emoji\nconcepts:\n{concepts}")
    assert len(caught.value.details["problems"]) == 1000
    assert caught.value.message.count("\n") == 100
    assert caught.value.message.endswith("... and 900 more problems")


def test_problems_survive_being_sent_between_processes() -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(GOOD + "    seeed: 2\n")
    returned = pickle.loads(pickle.dumps(caught.value))
    assert returned.details == caught.value.details


def test_names_of_other_programs_are_told_with_ours() -> None:
    text = "base_model: emoji\ndefaults: {steps: 9, lr: 1}\nconcepts:\n- {name: fox, images: foxes}\n"
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text)
    told = " ".join(one["message"] for one in caught.value.details["problems"])
    assert "'steps': did you mean 'max_steps'?" in told
    assert "'lr': did you mean 'learning_rate'?" in told
