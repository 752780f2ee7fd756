"""A folder, on disk or under an S3 prefix, means the pictures that lie in it directly; what is passed over is named."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from textinv.errors import ImageError, ManifestError
from textinv.plan import Plan
from textinv.plan.shelf import Shelf
from textinv.store import MemoryStore

Planned = Callable[..., Plan]
Write = Callable[..., Path]
FOX = "  - name: fox\n    images: "


@pytest.fixture
def bucket() -> MemoryStore:
    store = MemoryStore()
    for key in ("fox/0.png", "fox/1.png", "fox/more/2.png", "fox-terrier/0.png", "foxes.png", "top.png"):
        store.put(f"animals/{key}" if key != "top.png" else key, b"")
    return store


def keys(shelf: Shelf, text: str) -> list[str]:
    return [source.name.removeprefix("s3://pics/") for source in shelf.pictures(text)[0]]


@pytest.mark.parametrize("text", ["s3://pics/animals/fox", "s3://pics/animals/fox/"])
def test_a_prefix_ends_at_a_slash_and_means_no_sub_folders(text: str, bucket: MemoryStore) -> None:
    shelf = Shelf(None, bucket=lambda name: bucket)
    assert keys(shelf, text) == ["animals/fox/0.png", "animals/fox/1.png"]
    assert shelf.pictures(text)[1] == ["more/"]


def test_one_object_and_the_top_of_a_bucket_can_be_named(bucket: MemoryStore) -> None:
    shelf = Shelf(None, bucket=lambda name: bucket)
    assert keys(shelf, "s3://pics/animals/fox/1.png") == ["animals/fox/1.png"]
    assert keys(shelf, "s3://pics/") == ["top.png"]
    bucket.put("top.txt", b"a {}")
    (source,) = Shelf(None, bucket=lambda name: bucket).pictures("s3://pics")[0]
    assert [one.read() for one in Shelf(None, bucket=lambda name: bucket).captions(source)] == [b"a {}"]


def test_a_prefix_that_holds_sub_folders_only_says_so(bucket: MemoryStore) -> None:
    bucket.delete(["animals/foxes.png"])
    with pytest.raises(ImageError, match=r"only sub-folders \(fox-terrier/, fox/\)"):
        Shelf(None, bucket=lambda name: bucket).pictures("s3://pics/animals")


def test_what_may_be_read_ends_at_a_slash_too(bucket: MemoryStore) -> None:
    shelf = Shelf(None, bucket=lambda name: bucket, allowed_prefixes=["s3://pics/animals/fox"])
    assert len(keys(shelf, "s3://pics/animals/fox")) == 2
    with pytest.raises(ImageError, match="may not be read here"):
        shelf.pictures("s3://pics/animals/fox-terrier/")
    with pytest.raises(ImageError, match="may not be read here"):
        shelf.pictures("s3://pics/animals/")


def test_what_a_folder_holds_besides_pictures_is_named(foxes: Path, write: Write, planned: Planned) -> None:
    (foxes / "more").mkdir()
    (foxes / "4.png").symlink_to(foxes / "gone.png")
    (foxes / "notes.md").write_text("x")
    (warning,) = planned(write(f"{FOX}foxes\n")).warnings
    assert "passed over 4.png (a link to nothing), more/, notes.md" in warning.message


def test_a_folder_that_holds_sub_folders_only_says_so(tmp_path: Path, write: Write, planned: Planned) -> None:
    (tmp_path / "animals" / "fox").mkdir(parents=True)
    with pytest.raises(ManifestError) as caught:
        planned(write(f"{FOX}animals\n"))
    assert "only sub-folders (fox/), which are not looked into" in caught.value.details["problems"][0]["message"]


def test_a_folder_of_masks_among_the_pictures_is_not_passed_over(foxes: Path, write: Write, planned: Planned) -> None:
    (foxes / "masks").mkdir()
    for number in range(3):
        Image.new("L", (64, 64), 255).save(foxes / "masks" / f"{number}.png")
    with Image.open(foxes / "0.png") as first:
        size = first.size
    for number in range(3):
        Image.new("L", size, 255).save(foxes / "masks" / f"{number}.png")
    assert planned(write(f"{FOX}foxes\n    masks: foxes/masks\n")).warnings == []


@pytest.mark.parametrize("name", ["._0.png", ".DS_Store", "Thumbs.db", ".hidden/"])
def test_what_file_managers_leave_blocks_no_folder(name: str, foxes: Path, write: Write, planned: Planned) -> None:
    if name.endswith("/"):
        (foxes / name).mkdir()
    else:
        (foxes / name).write_bytes(b"\x00\x05\x16\x07")
    plan = planned(write(f"{FOX}foxes\n"))
    assert (len(plan.specs[0].spec.pictures), plan.warnings) == (3, [])


@pytest.mark.parametrize("name", ["1.txt", "1.caption", "1.TXT", "1.png.txt", "1.png.caption"])
def test_captions_are_found_under_the_names_that_programs_give_them(
    name: str, foxes: Path, write: Write, planned: Planned
) -> None:
    (foxes / name).write_text("a {} on the moon")
    captions = [picture.caption for picture in planned(write(f"{FOX}foxes\n")).specs[0].spec.pictures]
    assert captions == [None, "a {} on the moon", None]


def test_captions_that_differ_are_refused_with_their_names(foxes: Path, write: Write, planned: Planned) -> None:
    (foxes / "1.txt").write_text("a {} on the moon")
    (foxes / "1.caption").write_text("a {} on the moon")
    assert planned(write(f"{FOX}foxes\n")).specs[0].spec.pictures[1].caption == "a {} on the moon"
    (foxes / "1.caption").write_text("a {} in the sea")
    with pytest.raises(ManifestError, match=r"1\.txt and 1\.caption: keep one"):
        planned(write(f"{FOX}foxes\n"))


def test_an_animation_among_the_pictures_is_warned_of(foxes: Path, write: Write, planned: Planned) -> None:
    frames = [Image.effect_noise((64, 64), spread).convert("RGB") for spread in (30, 60, 90)]
    frames[0].save(foxes / "3.gif", save_all=True, append_images=frames[1:])
    path = write(f"{FOX}foxes\n")
    for _ in range(2):  # from the file, then from the cache
        (warning,) = planned(path).warnings
        assert "3.gif has 3 frames: only the first is used" in warning.message
