"""Pictures, captions and masks that a manifest names are found, or what is wrong with them is said with the line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from textinv.errors import ManifestError
from textinv.manifest import parse_manifest
from textinv.plan import Plan, make_plan
from textinv.plan.resolve import BaseFacts
from textinv.plan.shelf import Shelf
from textinv.plan.sources import fetch_pictures
from textinv.settings import Settings
from textinv.spec import image_key
from textinv.store import MemoryStore

Planned = Callable[..., Plan]
Write = Callable[..., Path]
FOX = "  - name: fox\n    images: "


def problems_of(planned: Planned, path: Path) -> list[tuple[int, str, str]]:
    with pytest.raises(ManifestError) as caught:
        planned(path)
    return [(one["line"], one["field"], one["message"]) for one in caught.value.details["problems"]]


def names(plan: Plan, index: int = 0) -> list[str]:
    return [picture.name for picture in plan.specs[index].spec.pictures]


@pytest.mark.parametrize("images", ["foxes", "foxes/", "foxes/*.png", "[foxes/0.png, foxes/1.png, 'foxes/[2-9].png']"])
def test_a_folder_a_glob_and_a_list_mean_the_same_pictures(
    images: str, foxes: Path, write: Write, planned: Planned
) -> None:
    plan = planned(write(f"{FOX}{images}\n"))
    assert names(plan) == ["0.png", "1.png", "2.png"]
    assert {picture.digest for picture in plan.specs[0].spec.pictures} == set(plan.pictures)
    assert plan.warnings == []


def test_pictures_come_in_the_order_that_people_count(foxes: Path, write: Write, planned: Planned) -> None:
    Image.new("RGB", (40, 40), "red").save(foxes / "10.png")
    assert names(planned(write(f"{FOX}foxes\n"))) == ["0.png", "1.png", "2.png", "10.png"]


def test_a_missing_picture_is_named_with_its_line(foxes: Path, write: Write, planned: Planned) -> None:
    ((line, field, message),) = problems_of(planned, write(f"{FOX}[foxes/0.png, foxes/none.png]\n"))
    assert (line, field) == (5, "concepts[0].images[1]")
    assert "'foxes/none.png' is neither a file nor a folder" in message


def test_a_text_file_named_png_is_refused_by_name(foxes: Path, write: Write, planned: Planned) -> None:
    (foxes / "3.png").write_text("not a picture")
    ((line, field, message),) = problems_of(planned, write(f"{FOX}foxes\n"))
    assert (line, field) == (5, "concepts[0].images")
    assert "3.png is not a picture (it looks like text)" in message


def test_a_truncated_jpeg_is_refused_by_name(foxes: Path, write: Write, planned: Planned) -> None:
    Image.effect_noise((64, 64), 90).convert("RGB").save(foxes / "3.jpg")
    (foxes / "3.jpg").write_bytes((foxes / "3.jpg").read_bytes()[:1500])
    ((_, _, message),) = problems_of(planned, write(f"{FOX}foxes\n"))
    assert "3.jpg is damaged" in message


@pytest.mark.parametrize("images", ["~nobody-here/x", "x" * 5000, "'**a/*'", "s3://", "C:/x", "'['", "'a\\0b'", "' '"])
def test_any_text_that_is_no_path_is_a_problem_with_a_line(images: str, write: Write, planned: Planned) -> None:
    ((line, field, _),) = problems_of(planned, write(f"{FOX}{images}\n"))
    assert (line, field) == (5, "concepts[0].images")


@pytest.mark.parametrize("others", [(), ("notes.md", "caption.txt")])
def test_an_empty_folder_is_refused(others: tuple[str, ...], tmp_path: Path, write: Write, planned: Planned) -> None:
    (tmp_path / "none").mkdir()
    for name in others:
        (tmp_path / "none" / name).write_text("{}")
    ((_, _, message),) = problems_of(planned, write(f"{FOX}none\n"))
    assert "there is no picture in 'none'" in message


def test_problems_of_all_concepts_are_reported_at_once(foxes: Path, write: Write, planned: Planned) -> None:
    (foxes / "3.png").write_text("not a picture")
    concepts = f"{FOX}foxes\n  - name: cat\n    images: cats\n  - name: dog\n    images: foxes\n    learning_rate: 3\n"
    assert [line for line, _, _ in problems_of(planned, write(concepts))] == [5, 7, 9, 10]


def test_a_caption_beside_a_picture_is_used_unless_it_is_to_be_ignored(
    foxes: Path, write: Write, planned: Planned
) -> None:
    (foxes / "1.txt").write_text("a {} on\nthe moon\n")
    (foxes / "2.txt").write_text("two <fox>")
    captions = [picture.caption for picture in planned(write(f"{FOX}foxes\n")).specs[0].spec.pictures]
    assert captions == [None, "a {} on the moon", "two {}"]
    ignored = planned(write(f"{FOX}foxes\n    captions: ignore\n")).specs[0].spec.pictures
    assert [picture.caption for picture in ignored] == [None, None, None]


def test_a_caption_may_name_its_concept_in_any_case(foxes: Path, write: Write, planned: Planned) -> None:
    (foxes / "1.txt").write_text("<Fox> on the moon")
    captions = [picture.caption for picture in planned(write(f"{FOX}foxes\n")).specs[0].spec.pictures]
    assert captions == [None, "{} on the moon", None]


def test_a_caption_beside_a_picture_must_name_the_concept(foxes: Path, write: Write, planned: Planned) -> None:
    (foxes / "1.txt").write_text("a fox on the moon")
    ((_, _, message),) = problems_of(planned, write(f"{FOX}foxes\n"))
    assert "1.txt: the caption 'a fox on the moon' does not name the concept" in message


def test_a_caption_in_the_manifest_wins(foxes: Path, write: Write, planned: Planned) -> None:
    (foxes / "1.txt").write_text("beside {}")
    plan = planned(write(f"{FOX}[{{file: foxes/1.png, caption: 'in the manifest {{}}'}}]\n"))
    assert plan.specs[0].spec.pictures[0].caption == "in the manifest {}"


def test_masks_belong_to_pictures_by_name_and_weigh_their_pixels(
    foxes: Path, tmp_path: Path, write: Write, planned: Planned
) -> None:
    (tmp_path / "masks").mkdir()
    for number in range(3):
        Image.new("L", (20, 20), 50 * (number + 1)).save(tmp_path / "masks" / f"{number}.png")
    plan = planned(write(f"{FOX}foxes\n    masks: masks\n"))
    spec = plan.specs[0].spec
    pictures = fetch_pictures(spec, lambda digest: plan.pictures[digest].read())
    assert [int(picture.alpha.max()) for picture in pictures if picture.alpha is not None] == [50, 100, 150]


def test_a_picture_without_its_mask_and_a_black_mask_are_problems(
    foxes: Path, tmp_path: Path, write: Write, planned: Planned
) -> None:
    (tmp_path / "masks").mkdir()
    Image.new("L", (20, 20)).save(tmp_path / "masks" / "0.png")
    found = problems_of(planned, write(f"{FOX}foxes/0.png\n    masks: masks\n"))
    assert "is black everywhere" in found[0][2]
    found = problems_of(planned, write(f"{FOX}foxes/1.png\n    masks: masks\n"))
    assert "0 masks in 'masks' are called '1'" in found[0][2]


def test_a_picture_that_is_too_small_is_refused_and_a_small_one_warned_of(
    tmp_path: Path, write: Write, planned: Planned
) -> None:
    for name, side in (("tiny", 10), ("small", 20)):
        Image.linear_gradient("L").resize((side, 50)).save(tmp_path / f"{name}.png")
    ((_, _, message),) = problems_of(planned, write(f"{FOX}tiny.png\n"))
    assert "its shorter side must have 16 pixels" in message
    warnings = [warning.message for warning in planned(write(f"{FOX}small.png\n")).warnings]
    assert any("smaller than the 32 pixels trained at" in warning for warning in warnings)
    ((_, _, message),) = problems_of(planned, write(f"{FOX}small.png\n    min_size_px: 30\n"))
    assert "30 pixels" in message


def test_one_picture_is_allowed_with_a_warning(foxes: Path, write: Write, planned: Planned) -> None:
    (warning,) = planned(write(f"{FOX}foxes/0.png\n")).warnings
    assert warning.message.startswith("one picture only")
    assert warning.line == 5


def test_a_picture_that_loses_over_a_third_to_the_crop_is_warned_of(
    foxes: Path, write: Write, planned: Planned
) -> None:
    Image.linear_gradient("L").resize((100, 40)).save(foxes / "wide.png")
    Image.radial_gradient("L").resize((56, 40)).save(foxes / "nearly.png")
    (warning,) = planned(write(f"{FOX}foxes\n")).warnings
    assert "wide.png is 100 x 40: 60% of it is cut off" in warning.message


def test_copies_and_files_that_are_no_pictures_are_warned_of(foxes: Path, write: Write, planned: Planned) -> None:
    Image.open(foxes / "1.png").save(foxes / "copy.jpg", quality=70)
    (foxes / "movie.mp4").write_bytes(b"")
    (foxes / ".DS_Store").write_bytes(b"")
    passed, copies = (warning.message for warning in planned(write(f"{FOX}foxes\n")).warnings)
    assert "passed over movie.mp4" in passed
    assert "1.png" in copies
    assert "copy.jpg look the same" in copies


def remote_shelf(store: MemoryStore, **given: object) -> Shelf:
    return Shelf(None, uploads=lambda: store, bucket=lambda name: store, **given)  # type: ignore[arg-type]


def plan_of(text: str, shelf: Shelf, home: Path) -> Plan:
    manifest = parse_manifest(text)
    return make_plan(manifest, settings=Settings(home=home), base=BaseFacts("r", 32), shelf=shelf)


def test_pictures_are_read_from_a_bucket_with_their_captions(foxes: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    for file in foxes.iterdir():
        store.put(f"data/foxes/{file.name}", file.read_bytes())
    store.put("data/foxes/1.txt", b"a {} at night")
    text = "base_model: emoji\nconcepts: [{name: fox, images: 's3://photos/data/foxes/'}]"
    plan = plan_of(text, remote_shelf(store), tmp_path)
    assert names(plan) == ["0.png", "1.png", "2.png"]
    assert [picture.caption for picture in plan.specs[0].spec.pictures] == [None, "a {} at night", None]
    digest = plan.specs[0].spec.pictures[1].digest
    assert plan.pictures[digest].read() == (foxes / "1.png").read_bytes()


def test_a_prefix_that_is_not_allowed_is_refused(tmp_path: Path) -> None:
    text = "base_model: emoji\nconcepts: [{name: fox, images: 's3://secret/x/'}]"
    with pytest.raises(ManifestError, match="allowed are s3://photos/"):
        plan_of(text, remote_shelf(MemoryStore(), allowed_prefixes=["s3://photos/"]), tmp_path)


def test_uploaded_pictures_are_named_by_digest(foxes: Path, write: Write, planned: Planned, tmp_path: Path) -> None:
    store = MemoryStore()
    local = planned(write(f"{FOX}foxes\n"))
    for digest, source in local.pictures.items():
        store.put(image_key(digest), source.read())
    listed = ", ".join(f"'sha256:{picture.digest}'" for picture in local.specs[0].spec.pictures)
    plan = plan_of(f"base_model: emoji\nconcepts: [{{name: fox, images: [{listed}]}}]", remote_shelf(store), tmp_path)
    assert [picture.digest for picture in plan.specs[0].spec.pictures] == [
        picture.digest for picture in local.specs[0].spec.pictures
    ]
    assert all(source.stored for source in plan.pictures.values())


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ("foxes", "paths cannot be read here"),
        ("'sha256:12'", "64 hexadecimal digits"),
        (f"'sha256:{'0' * 64}'", "was uploaded: upload it first"),
        ("'s3://photos/none/'", "nothing is there"),
    ],
)
def test_a_manifest_that_came_over_the_network_cannot_name_files(images: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=said):
        plan_of(
            f"base_model: emoji\nconcepts: [{{name: fox, images: {images}}}]", remote_shelf(MemoryStore()), tmp_path
        )
