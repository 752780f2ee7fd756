"""`textinv learn`: the manifest that its options stand for. It is run in test_submit_on_ray."""

import json
from pathlib import Path

import pytest
from PIL import Image

from cluster.commands.learn import manifest_of
from textinv.cli import main
from textinv.embedding import Embedding
from textinv.errors import ManifestError
from textinv.models import load_words
from textinv.placeholders import ConceptRef
from textinv.plan import make_plan
from textinv.plan.resolve import BaseFacts
from textinv.registry import Registry
from textinv.settings import Settings, StoreSettings, environment_of
from textinv.store import connect_store

PICTURES = Path(__file__).resolve().parents[2] / "manifests" / "pictures"


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


@pytest.mark.store
def test_what_is_learned_already_is_only_drawn(
    tmp_path: Path, s3_settings: StoreSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(home=tmp_path / "home", store=s3_settings)
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    pictures = sorted(str(path) for path in (PICTURES / "mint-castle").glob("*.png"))
    command = ["learn", "castle", *pictures, "--class-word", "castle", "--recipe", "fast"]
    stated = {"name": "castle", "images": pictures, "kind": "object", "class_word": "castle", "recipe": "fast"}
    registry = Registry(connect_store(s3_settings))
    loaded = manifest_of({"base_model": "emoji", "concepts": [{**stated, "preview_every": 100}]})
    (planned,) = make_plan(loaded, registry, settings=settings).specs
    rows = load_words("emoji", ["text_encoder"], "castle")
    spec = planned.spec
    registry.publish(
        "castle",
        Embedding(rows),
        {},
        fingerprint=spec.fingerprint,
        base_model="emoji",
        base_revision=spec.base_revision,
    )
    with pytest.raises(SystemExit) as ended:
        main([*command, "-o", str(tmp_path / "drawn.webp"), "--json"])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    told = json.loads(said.out)
    assert (told["driver_started"], told["counts"]["done"], told["prompt"]) == (False, 1, "a photo of <castle>")
    assert told["concepts"] == {"castle@1": registry.resolve(ConceptRef("castle")).digest}
    assert Image.open(tmp_path / "drawn.webp").size == (64, 64)
    with pytest.raises(SystemExit) as ended:
        main([*command, "-o", str(tmp_path / "drawn.tiff")])
    assert ended.value.code == 2
    assert "does not tell the format" in capsys.readouterr().err
