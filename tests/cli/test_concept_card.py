"""What `textinv concept show` says to people."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console, RenderableType

from textinv.cli.card import Shown, card, sparkline
from textinv.cli.picture import drawn_in_blocks
from textinv.registry import Described, VersionEntry, VersionSummary
from textinv.registry.entries import Artifact

RECORD: dict[str, Any] = {
    "spec": {"kind": "object", "class_word": "crab", "max_steps": 400, "pictures": [{}, {}, {}, {}]},
    "stopped": "converged",
    "steps": 200,
    "kept_step": 190,
    "sample_passes": 1200,
    "seconds": 23.4,
    "trace": [{"step": step, "loss": 0.6 - step / 1000} for step in range(0, 201, 10)],
}
SCORES: dict[str, Any] = {
    "encoders": [
        {
            "encoder": "emoji/clip",
            "fidelity": 0.5,
            "real_to_real": 0.6,
            "initializer_fidelity": 0.3,
            "editability": 0.42,
        }
    ],
    "anchor_word": "crab",
    "norm_ratio": {"text_encoder": 1.0},
}


def entry(version: int = 2) -> VersionEntry:
    artifact = Artifact(key="k", size_bytes=12_288, sha256="0", media_type="x")
    return VersionEntry(
        name="tall-crab",
        version=version,
        run_id="run",
        fingerprint="f",
        created="2026-11-30T10:11:12+00:00",
        base_model="emoji",
        base_revision="r",
        digest="d",
        num_vectors=4,
        widths={"text_encoder": 192},
        artifacts={"embedding.safetensors": artifact},
    )


def summary(version: int, current: bool) -> VersionSummary:
    return VersionSummary("tall-crab", version, "2026", "run", "f", "d", "emoji", current)


def printed(shown: RenderableType, width: int = 80) -> str:
    file = io.StringIO()
    Console(file=file, width=width, soft_wrap=False).print(shown)
    return file.getvalue()


def shown_card(home: Path, record: dict[str, Any], scores: dict[str, Any] | None = None, picture: bytes = b"") -> str:
    shown = Shown(
        Described(entry(), record),
        [summary(1, False), summary(2, True)],
        [scores] if scores else [],
        (picture, "image/jpeg") if picture else None,
    )
    return printed(card(shown, home), width=1000)


def test_a_card_says_what_it_is_how_good_why_it_stopped_and_what_it_cost(tmp_path: Path) -> None:
    said = shown_card(tmp_path, RECORD, SCORES, b"a picture")
    for part in (
        "<tall-crab@2>: a thing, a kind of crab, 4 vectors",
        "2026-11-30 10:11, on emoji",
        "0.50; without learning, 'crab' reaches 0.30; its pictures reach 0.60 among themselves: 67% of",
        "0.42: how well other prompts still work with it",
        "1.0 times as long as a word's",
        "0.6000 to 0.4000",
        "at step 200 of at most 400, and the rows of step 190 are kept: its loss on the fixed batch no longer fell",
        "1,200 sample passes, 0:00:23, from 4 pictures",
        "1, 2 (current)",
        "embedding.safetensors (12 KB)",
    ):
        assert part in said
    (path,) = [Path(line.split()[-1]) for line in said.splitlines() if line.startswith("picture")]
    assert path.read_bytes() == b"a picture"


def test_a_card_is_no_wider_than_a_terminal_of_80_columns_and_holds_no_nested_data(tmp_path: Path) -> None:
    shown = Shown(Described(entry(), RECORD), [summary(2, True)], [SCORES], None)
    said = printed(card(shown, tmp_path))
    assert max(map(len, said.splitlines())) <= 80
    assert not set("{}[]") & set(said)


@pytest.mark.parametrize("trace", ["nonsense", [{"step": "x"}], [{"loss": {}}]])
def test_a_record_of_another_program_is_shown_as_far_as_it_goes(tmp_path: Path, trace: object) -> None:
    said = shown_card(tmp_path, {"trace": trace, "spec": "none", "seconds": "long", "stopped": 3})
    assert "from another program" in said
    assert "not scored; `textinv evaluate tall-crab --pictures FOLDER` does it" in said
    assert "loss" not in said


def test_an_older_version_says_how_it_becomes_current(tmp_path: Path) -> None:
    shown = Shown(Described(entry(1), RECORD), [summary(1, False), summary(2, True)], [], None)
    assert "1, 2 (current); `textinv concept rollback tall-crab --to 1`" in printed(card(shown, tmp_path), 200)


def test_a_curve_is_a_line_of_bars_of_at_most_forty() -> None:
    assert sparkline([3.0, 2.0, 1.0]) == "█▅▁"
    assert sparkline([1.0, 1.0]) == "▁▁"
    assert len(sparkline([float(number) for number in range(1000)])) == 40


def test_a_picture_is_drawn_with_two_pixels_a_character() -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 32), (255, 0, 0)).save(file, "PNG")
    drawn = drawn_in_blocks(file.getvalue(), columns=8)
    assert drawn.plain == "▀▀▀▀▀▀▀▀\n" * 2
    assert {span.style.color.name for span in drawn.spans} == {"#ff0000"}  # type: ignore[union-attr]


def test_a_card_says_what_is_worse_than_in_the_version_before(tmp_path: Path) -> None:
    reasons = ["fidelity fell from 0.60 to 0.41"]
    shown = shown_card(tmp_path, {**RECORD, "gate": {"against": 1, "reasons": reasons}})
    assert "beside version 1: fidelity fell from 0.60 to 0.41" in " ".join(shown.split())
