"""`textinv guess`, as a person types it, and the folders that a guess learns from."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.tiny_encoders import clip_folder
from tests.guess.sharing import share, shared_enough
from tests.guess.small_guess import small_guess
from tests.models.tiny_bases import make_base
from textinv.cli import main
from textinv.errors import InputError
from textinv.guess.folders import FolderTree
from textinv.guess.measuring import is_held_out
from textinv.models import base_revision, load_base_model
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import load_encoder, own_encoder
from textinv.registry.guesses import LearnedFrom, list_guesses, publish_guess
from textinv.settings import StoreSettings
from textinv.store import connect_store
from textinv.store.protocol import ObjectStore

Type = Callable[..., Any]


def write_pictures(folder: Path, seed: int, count: int = 3) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        coarse = np.random.default_rng((seed, number)).integers(0, 255, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((48, 40), Image.Resampling.BICUBIC).save(folder / f"{number}.png")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Forty concepts, one of which has a single picture."""
    for number in range(40):
        write_pictures(tmp_path / "tree" / "things" / f"thing-{number}", number, 1 if number == 7 else 2)
    return tmp_path / "tree"


def test_each_folder_of_pictures_is_a_concept_and_some_are_never_trained_on(tree: Path, emoji: BaseModel) -> None:
    (tree / "things" / "thing-0" / "0.txt").write_text("a {} in a box")
    found = FolderTree(tree, emoji, own_encoder(emoji))
    assert found.too_few == ["things/thing-7"]
    assert len(found.trained) + len(found.held_out) == 39
    assert all(is_held_out(name) for name in found.held_out)
    assert not any(is_held_out(name) for name in found.trained)
    assert [one.name for one in found.unseen()] == list(found.held_out)
    one = found.draw(0, random.Random(0))
    assert one.mean_PCHW.shape == (2, 4, 16, 16)
    assert len(one.looks_PTW) == 2
    assert all("{}" in caption for captions in one.captions for caption in captions)
    assert FolderTree(tree, emoji, own_encoder(emoji)).stamp == found.stamp
    write_pictures(tree / next(name for name in map("more-{}".format, range(99)) if not is_held_out(name)), 99)
    assert FolderTree(tree, emoji, own_encoder(emoji)).stamp != found.stamp


def test_a_folder_with_too_few_concepts_is_refused(tmp_path: Path, emoji: BaseModel) -> None:
    write_pictures(tmp_path / "tree" / "one", 0)
    with pytest.raises(InputError, match="has 1 folders of 2 or more pictures, of which 0 are held out"):
        FolderTree(tmp_path / "tree", emoji, own_encoder(emoji))
    with pytest.raises(InputError, match="is no folder: name one whose sub-folders hold pictures"):
        FolderTree(tmp_path / "absent", emoji, own_encoder(emoji))


@pytest.fixture
def store(s3_settings: StoreSettings) -> ObjectStore:
    return connect_store(s3_settings)


@pytest.fixture
def type_(
    s3_settings: StoreSettings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Type:
    """Types a command with --json and returns its exit status and what it printed: a result, or what went wrong."""
    secret = s3_settings.secret_key
    assert secret is not None
    said = {
        "STORE_ENDPOINT_URL": str(s3_settings.endpoint_url),
        "STORE_ACCESS_KEY": str(s3_settings.access_key),
        "STORE_SECRET_KEY": secret.get_secret_value(),
        "STORE_PREFIX": s3_settings.prefix,
        "HOME": str(tmp_path / "home"),
    }
    for name, value in said.items():
        monkeypatch.setenv(f"TEXTINV_{name}", value)

    def type_command(*words: str) -> tuple[int, Any]:
        with pytest.raises(SystemExit) as caught:
            main([*words, "--json"])
        printed = capsys.readouterr()
        status = int(caught.value.code or 0)
        return status, printed.err if status else json.loads(printed.out)

    return type_command


@pytest.mark.store
def test_guesses_are_listed_shown_and_removed(type_: Type, store: ObjectStore, emoji: BaseModel) -> None:
    assert type_("guess", "ls") == (0, [])
    publish_guess(store, small_guess(emoji))
    publish_guess(store, newer := small_guess(emoji, 1))
    _, listed = type_("guess", "ls")
    assert [one["current"] for one in listed] == ["", "yes"]
    assert type_("guess", "show", newer.digest[:10])[1]["base_revision"] == emoji.revision
    assert type_("guess", "rm", newer.digest[:10]) == (0, {"removed": newer.digest})
    assert [one["current"] for one in type_("guess", "ls")[1]] == ["yes"]
    status, said = type_("guess", "show", newer.digest[:10])
    assert (status, "0 guesses have a digest" in said) == (2, True)


@pytest.mark.store
def test_what_is_no_better_than_words_is_not_published_and_can_be_trained_on(
    type_: Type, store: ObjectStore, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textinv.guess.measuring.SHORTLIST", ("ball", "house"))
    base, encoder = make_base("sd1", tmp_path / "base"), clip_folder(tmp_path / "clip")
    monkeypatch.setenv("TEXTINV_ENCODERS", str(encoder))
    command = ("guess", "train", "--base", str(base), "--folder", str(tree), "--steps")
    status, said = type_(*command, "1")
    assert status == 1
    assert "concepts that it has not seen its loss is" in said
    assert "it is not published; train it on more concepts" in said
    assert list(list_guesses(store)) == []
    (state,) = (tmp_path / "home" / "guesses").iterdir()
    model = load_base_model(str(base))
    assert state.name == f"{model.revision[:16]}-{FolderTree(tree, model, load_encoder(encoder)).stamp[:16]}.pt"


@pytest.mark.store
def test_without_a_folder_it_learns_from_what_is_shared(
    type_: Type, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textinv.guess.measuring.SHORTLIST", ("ball", "house"))
    base, encoder = make_base("sd1", tmp_path / "base"), clip_folder(tmp_path / "clip")
    monkeypatch.setenv("TEXTINV_ENCODERS", str(encoder))
    command = ("guess", "train", "--here", "--base", str(base), "--steps", "1")
    status, said = type_(*command)
    assert (status, "0 concepts of" in said, "concept share NAME" in said) == (2, True, True)
    status, said = type_(*command, "--styles")
    assert (status, "is said of a --folder" in said) == (2, True)

    revision = base_revision(str(base))
    shared_enough(store, revision)
    assert [one["tenant"] for one in type_("concept", "share")[1]] == ["acme"] * 8
    status, said = type_(*command)
    assert (status, "on 4 concepts that it has not seen its loss is" in said) == (1, True)
    assert "it is not published; train it on more concepts" in said
    kept = sorted(path.name for path in (tmp_path / "home" / "guesses").iterdir())
    assert kept == [f"{revision[:16]}-shared.json", f"{revision[:16]}-shared.pt"]


@pytest.mark.store
def test_what_was_taken_back_makes_a_guess_stale_and_the_commands_say_why(
    type_: Type, store: ObjectStore, emoji: BaseModel
) -> None:
    given = share(store, 3, emoji.revision)
    named = LearnedFrom(share=given.id, tenant="acme", pictures=tuple(one.digest for one in given.pictures))
    publish_guess(store, guess := small_guess(emoji, shares=(named,)))
    assert type_("guess", "ls")[1][0]["stale"] == ""
    assert type_("concept", "share", "--off", "thing-3", "thing-4")[1] == {"taken_back": {"thing-3": 1, "thing-4": 0}}
    why = "1 of the 1 concepts that it learned from were withdrawn: taken back by hand (1)"
    assert type_("guess", "ls")[1][0]["stale"] == why
    shown = type_("guess", "show", guess.digest[:8])[1]
    assert (shown["stale"], shown["current"]) == (why, True)
    assert shown["shares"][0]["pictures"] == list(named.pictures)
    status, said = type_("concept", "share", "thing-4")
    assert (status, "nobody knows the pictures of a concept" in said) == (2, True)
