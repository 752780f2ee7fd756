"""`textinv learn`: the manifest that its options stand for. It is run in test_submit_on_ray."""

from pathlib import Path

import pytest
from PIL import Image

from cluster.commands.learn import manifest_of
from textinv.errors import ManifestError
from textinv.plan import make_plan
from textinv.plan.resolve import BaseFacts
from textinv.settings import Settings


def test_pictures_are_found_where_the_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (80, 80), (200, 10, 10)).save(tmp_path / "red.png")
    Image.new("RGB", (80, 80), (10, 10, 200)).save(tmp_path / "blue.png")
    monkeypatch.chdir(tmp_path)
    loaded = manifest_of(
        {"base_model": "emoji", "concepts": [{"name": "dot", "images": ["red.png", "b*.png"], "class_word": "ball"}]}
    )
    (planned,) = make_plan(loaded, settings=Settings(home=tmp_path / "home"), base=BaseFacts("r", 64)).specs
    assert [picture.name for picture in planned.spec.pictures] == ["red.png", "blue.png"]
    assert (planned.spec.name, planned.spec.class_word, planned.spec.init) == ("dot", "ball", "ball")


def test_a_name_that_cannot_be_one_is_told_with_the_rule() -> None:
    with pytest.raises(ManifestError, match="did you mean 'my-dog'"):
        manifest_of({"base_model": "emoji", "concepts": [{"name": "My Dog", "images": ["x.png"]}]})
