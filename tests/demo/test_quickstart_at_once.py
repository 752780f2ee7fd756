"""The demo shows beside each learned concept what the base model's guess makes of it at once."""

from pathlib import Path

from textinv.demo.quickstart import AT_ONCE, concepts_of, with_guesses
from textinv.manifest import load_manifest

QUICKSTART = Path(__file__).parents[2] / "manifests" / "quickstart.yaml"


def test_every_concept_goes_in_once_more_as_it_is_guessed(tmp_path: Path) -> None:
    written = load_manifest(with_guesses(QUICKSTART, tmp_path / "out" / "manifest.yaml"))
    plain = load_manifest(QUICKSTART)
    names = [concept.name for concept in plain.concepts]
    assert [concept.name for concept in written.concepts] == [*(name + AT_ONCE for name in names), *names]
    guessed, learned = written.concepts[: len(names)], written.concepts[len(names) :]
    assert {(one.recipe, one.init, one.evaluate) for one in guessed} == {("instant", "guess", False)}
    assert [one.kind for one in guessed] == [one.kind for one in plain.concepts]
    assert written.defaults == plain.defaults
    for one, before in zip(learned, plain.concepts, strict=True):
        assert one.model_copy(update={"images": before.images}) == before
        assert Path(str(one.images)) == (QUICKSTART.parent / str(before.images)).resolve()
    assert [one.name for one in concepts_of(QUICKSTART)] == names
