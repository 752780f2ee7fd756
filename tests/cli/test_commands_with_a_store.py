"""Planning, drawing and judging from the command line, on a real store and the demo base."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.tiny_encoders import clip_folder
from textinv.cli import main
from textinv.demo.concept_pictures import concept_pictures
from textinv.demo.concepts import find_concept
from textinv.embedding import Embedding
from textinv.generation import read_png_infotext
from textinv.images.strip import make_strip
from textinv.manifest import load_manifest
from textinv.models import load_base_model
from textinv.placeholders import ConceptRef
from textinv.plan import make_plan
from textinv.registry import Registry
from textinv.registry.layout import PINNED_FILE
from textinv.settings import Settings
from textinv.spec import image_key
from textinv.store import EmbeddedServer, ensure_store

QUICKSTART = Path(__file__).resolve().parents[2] / "manifests" / "quickstart.yaml"
pytestmark = [pytest.mark.store, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store of its own, in which <tulip> was published with the rows of the word "rose"."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home)
    try:
        registry = Registry(ensure_store(settings))
        plan = make_plan(load_manifest(QUICKSTART), registry, settings=settings)
        spec = next(planned.spec for planned in plan.specs if planned.spec.name == "tulip")
        for picture in spec.pictures:
            registry.store.put(image_key(picture.digest), plan.pictures[picture.digest].read())
        model = load_base_model("emoji", device="cpu")
        rows = {name: model.token_rows(name, "rose") for name in model.encoder_names}
        stated = spec.model_dump(mode="json") | {"init": "rose"}  # where those rows come from
        registry.publish(
            spec.name,
            Embedding(rows),
            {
                "spec": stated,
                "sample_passes": 400,
                "seconds": 20.0,
                "num_slots": 2,
                "cosine_to_initializer": {"text_encoder": 1.0},
            },
            fingerprint=spec.fingerprint,
            base_model=spec.base_model,
            base_revision=spec.base_revision,
        )
        yield home
    finally:
        EmbeddedServer(home).down()


def run(home: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["--home", str(home), *arguments])
    return int(caught.value.code or 0)


def test_a_plan_knows_what_is_published_and_what_the_rest_takes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, "plan", str(QUICKSTART), "--json", "--specs") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"new": 3, "changed": 0, "done": 1}
    assert told["concepts"][2]["reason"] == "published as tulip@1"
    assert told["estimate"]["worker_s"] == pytest.approx(
        (told["estimate"]["sample_passes"] + told["estimate"]["evaluation_passes"]) / 40
    )
    assert told["specs"][0]["resolution_px"] == 64
    assert run(home, "plan", str(QUICKSTART)) == 0
    assert "3 new, 0 changed, 1 done" in capsys.readouterr().out
    assert run(home, "plan", str(QUICKSTART), "--offline", "--json") == 0
    assert json.loads(capsys.readouterr().out)["counts"]["new"] == 4


def test_pictures_are_read_from_a_bucket_of_the_store(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ensure_store(Settings(home=home))
    for file in (QUICKSTART.parent / "pictures" / "tulip").iterdir():
        store.put(f"data/rose/{file.name}", file.read_bytes())
    manifest = tmp_path / "m.yaml"
    bucket = Settings().store.bucket
    manifest.write_text(f"base_model: emoji\nconcepts:\n- {{name: rose, images: 's3://{bucket}/data/rose/'}}\n")
    assert run(home, "plan", str(manifest), "--json", "--specs") == 0
    (spec,) = json.loads(capsys.readouterr().out)["specs"]
    assert [picture["name"] for picture in spec["pictures"]] == ["0.png", "1.png", "2.png", "3.png"]
    assert all("{}" in picture["caption"] for picture in spec["pictures"])
    manifest.write_text("base_model: emoji\nconcepts:\n- {name: rose, images: 's3://no-such-bucket/x/'}\n")
    assert run(home, "validate", str(manifest)) != 0
    assert "no-such-bucket" in capsys.readouterr().err


def test_a_stored_concept_is_drawn_and_the_picture_remembers_it(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "rose.png"
    assert run(home, "generate", "a <tulip>", "-o", str(out), "-n", "2", "--steps", "3", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["seed"] for one in told] == [0, 1]
    assert list(told[0]["concepts"]) == ["tulip@1"]
    first, second = (Path(one["path"]) for one in told)
    assert first.name == "rose-0.png"
    assert Image.open(first).size == (64, 64)
    assert first.read_bytes() != second.read_bytes()
    remembered = read_png_infotext(first.read_bytes())
    assert remembered is not None
    assert remembered.startswith("a <tulip>\n")


def test_rows_of_a_word_draw_what_the_word_draws(home: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "word.png", tmp_path / "concept.png"]
    for prompt, path in zip(("a rose", "a <tulip>"), paths, strict=True):
        assert run(home, "generate", prompt, "-o", str(path), "--steps", "3", "--base-model", "emoji") == 0
    word, concept = (Image.open(path).tobytes() for path in paths)
    assert word == concept


def test_an_unknown_concept_in_a_prompt_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, "generate", "a <tulup>", "--json") == 2
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "unknown_concept"
    assert "did you mean tulip?" in error["message"]


def test_a_request_that_cannot_be_drawn_is_refused_before_anything_is_loaded(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(home, "generate", "a rose", "--steps", "0") == 2
    assert "num_inference_steps" in capsys.readouterr().err
    assert run(home, "generate", "a rose", "--noise-scheduler", "dpm-99") == 2


def test_a_concept_is_judged_by_the_pictures_it_was_learned_from(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(home, "evaluate", "tulip", "--num-images", "1", "--steps", "3", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    (scores,) = told["encoders"]
    assert (told["name"], told["version"]) == ("tulip", 1)
    assert 0 < scores["fidelity"] < scores["real_to_real"] <= 1.001
    assert scores["fidelity"] == pytest.approx(scores["initializer_fidelity"], abs=0.02)  # the rows are the word's
    assert 0 < scores["editability"] < 1
    assert told["cosine_to_initializer"]["text_encoder"] == 1.0
    assert {"fidelity", "real_to_real", "initializer_fidelity"} < set(told["judge"])
    assert run(home, "concept", "show", "tulip", "--json") == 0
    kept = json.loads(capsys.readouterr().out)["evaluations"]
    assert kept[-1]["encoders"] == told["encoders"]
    assert kept[-1]["pictures"] == "training"


def test_versions_are_drawn_side_by_side_with_their_scores(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "both.png"
    assert run(home, "concept", "compare", "tulip@1", "tulip", "-o", str(out), "--steps", "1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["version"] for one in told["scores"]] == ["tulip@1", "tulip@1"]
    assert (len(told["prompts"]), told["falls"], told["drawn"]) == (4, [], ["tulip@1"])
    with Image.open(out) as sheet:
        left, right = (sheet.crop((x, 36, x + 192, 228)).tobytes() for x in (0, 192))
    assert left == right  # the same version, prompt and seed
    assert run(home, "concept", "compare", "tulip") == 2


def test_pictures_that_lie_beside_versions_are_compared_as_they_are(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(ensure_store(Settings(home=home)))
    rows = registry.resolve(ConceptRef("tulip")).embedding
    for number, colour in enumerate(((200, 30, 30), (30, 30, 200)), 1):
        registry.publish(
            "pinned-tulip",
            rows,
            {"pinned": {"prompts": ["a {}"], "seed": 0, "num_inference_steps": 10}},
            fingerprint=f"pinned-{number}",
            base_model="a base that is not here",
            base_revision="r",
            files={PINNED_FILE: make_strip([np.full((64, 64, 3), colour, np.uint8)])},
        )
    out = tmp_path / "both.png"
    assert run(home, "concept", "compare", "pinned-tulip@1", "pinned-tulip@2", "-o", str(out), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["prompts"], told["drawn"]) == (["a {}"], [])
    with Image.open(out) as sheet:
        left, right = (sheet.getpixel((x, 100)) for x in (96, 288))
    assert left[0] > 180 > right[0]
    assert right[2] > 180 > left[2]
    registry.remove("pinned-tulip")


def test_people_are_told_scores_norm_and_how_far_the_rows_went(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(home, "evaluate", "tulip", "--num-images", "1", "--steps", "1") == 0
    shown = capsys.readouterr().out
    assert "real_to_real" in shown
    assert "cosine to where it started (text_encoder): 1.000" in shown
    assert "norm over that of a word (text_encoder): " in shown


def test_a_concept_is_judged_by_held_out_pictures_with_the_encoder_of_the_settings(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out, clip = tmp_path / "held-out", clip_folder(tmp_path / "clip")
    held_out.mkdir()
    for number, shown in enumerate(concept_pictures(find_concept("checkered-panda"), "evaluation", 3)):
        shown.image.save(held_out / f"{number}.png")
    few = ("--num-images", "1", "--steps", "1", "--json")
    assert run(home, "evaluate", "tulip", "--pictures", str(held_out), *few) == 0
    by_own = json.loads(capsys.readouterr().out)["encoders"]
    monkeypatch.setenv("TEXTINV_ENCODERS", str(clip))
    assert run(home, "evaluate", "tulip", "--pictures", str(held_out), *few) == 0
    by_clip = json.loads(capsys.readouterr().out)["encoders"]
    assert run(home, "evaluate", "tulip", *few) == 0
    by_training = json.loads(capsys.readouterr().out)["encoders"]
    assert [one["encoder"] for one in (*by_own, *by_clip)] == ["emoji/clip", str(clip)]
    assert by_clip[0]["real_to_real"] != by_training[0]["real_to_real"]
    assert run(home, "concept", "show", "tulip", "--json") == 0
    kept = json.loads(capsys.readouterr().out)["evaluations"]
    by_held_out = [(one["num_pictures"], one["encoders"]) for one in kept if one["pictures"] == str(held_out)]
    assert len(by_held_out) == 2
    assert (3, by_own) in by_held_out
    assert (3, by_clip) in by_held_out


def test_problems_with_held_out_pictures_are_named(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(home, "evaluate", "tulip", "--pictures", str(tmp_path / "none")) == 2
    assert "is neither a file nor a folder" in capsys.readouterr().err


def test_a_store_that_does_not_answer_is_named(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXTINV_STORE_ACCESS_KEY", "somebody")
    monkeypatch.setenv("TEXTINV_STORE_SECRET_KEY", "secret")
    assert run(home, "--store-endpoint-url", "http://127.0.0.1:9", "plan", str(QUICKSTART), "--json") == 1
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "store_unreachable"
    assert "127.0.0.1:9" in error["message"]


def test_wrong_credentials_are_named(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXTINV_STORE_ENDPOINT_URL", str(EmbeddedServer(home).up().endpoint_url))
    monkeypatch.setenv("TEXTINV_STORE_ACCESS_KEY", "somebody")
    monkeypatch.setenv("TEXTINV_STORE_SECRET_KEY", "guessed")
    assert run(home, "plan", str(QUICKSTART), "--json") == 1
    shown = capsys.readouterr().err
    assert json.loads(shown)["error"]["code"] == "store_credentials"
    assert "guessed" not in shown


def test_a_base_model_that_is_not_there_is_named_before_anything_is_spent(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "m.yaml"
    pictures = QUICKSTART.parent / "pictures" / "tulip"
    manifest.write_text(f"base_model: ./no-such-base\nconcepts:\n- {{name: rose, images: {pictures}}}\n")
    assert run(home, "plan", str(manifest), "--json") == 1
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "base_model_unavailable"
    assert "no-such-base" in error["message"]
