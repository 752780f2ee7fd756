"""What people wrote is printed as it is, whole, and obeyed by neither rich nor the terminal."""

import ast
import io
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.commands.follow import Bars, Lines, end_with, goes_on
from textinv.cli import main
from textinv.cli.output import emit, literal, report_error, rows_table, stderr, stdout, table_of, warn
from textinv.errors import InputError
from textinv.jobs import ConceptStatus, JobStatus

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = (
    "foxes [/draft]",
    "pictures/[/red]/0.png",
    "crab [final].png",
    "<lora:x:1>",
    ":warning: [bold]x[/]",
    "[link=file:///etc/passwd]here",
    "\\[/",
    "[",
    "\x1b]0;title\x07\x1b[2J",
    "\u202egnp.exe",
)


class Terminal(io.StringIO):
    """A terminal of 80 columns."""

    def isatty(self) -> bool:
        return True


def visible(text: str) -> str:
    """A text as it should be seen."""
    return str(literal(text))


def every_way(text: str) -> None:
    """Print a text in all the ways that commands do."""
    emit(None, False, text)
    emit({"name": text, "inner": {"path": text}, "many": [text, {"of": text}]}, False)
    emit(None, False, rows_table([{"name": text, "problem": text}]))
    emit(None, False, rows_table([], none=text))
    stdout().print(table_of([{"caption": text}]))
    warn(text)
    report_error(InputError(text), json=False)
    with stderr().status(literal(text)):
        pass
    concept = ConceptStatus(name=text, fingerprint="f", state="failed", problem=text)
    status = JobStatus(job_id=text, name=text, generation=1, state="done", done=1, problem=text, concepts=(concept,))
    for way in (Bars(stderr()), Lines(stderr())):
        with way as screen:
            screen.update(status)
    end_with(status, False)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_is_markup_emoji_or_a_command_of_the_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    every_way(text)
    printed = capsys.readouterr()
    assert printed.out.count(visible(text)) >= 9
    assert printed.err.count(visible(text)) >= 3
    assert not {"\x07", "\u202e"} & set(printed.out + printed.err)
    assert "\x1b]" not in printed.out + printed.err


@settings(deadline=None, max_examples=25)
@given(st.text(st.characters(codec="utf-8"), max_size=30) | st.text("[]/\\:<>=#@ a", max_size=12))
def test_any_text_can_be_printed_on_a_terminal_and_into_a_pipe(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for kind in (Terminal, io.StringIO):
            patch.setattr(sys, "stdout", kind())
            patch.setattr(sys, "stderr", kind())
            every_way(text)


def test_nothing_is_cut_or_wrapped_in_a_pipe_and_ids_fold_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"job": "a-manifest-with-a-long-name-1234567890abcdef", "problem": "word " * 60 + "end"}
    rows = [row | {f"figure {number}": 123456 for number in range(8)}]
    emit(None, False, rows_table(rows))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert row["job"] in lines[1]
    assert row["problem"] in lines[1]
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "20")
    emit(None, False, rows_table([{"job": row["job"]}], show_header=False))
    assert "".join(screen.getvalue().split()) == row["job"]


def test_tables_show_what_is_inside_a_mapping_and_no_dicts(capsys: pytest.CaptureFixture[str]) -> None:
    emit(
        {"settings": {"max_workers": 8, "more": {}}, "crews": [{"name": "c", "size": 1}], "steps": list(range(99))},
        False,
    )
    printed = capsys.readouterr().out
    assert "{" not in printed
    assert "settings.max_workers  8" in printed
    assert "crews.1.name" in printed
    assert "(99 in all)" in printed


def test_a_path_that_looks_like_markup_is_named_in_a_problem(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.yaml").write_text("base_model: emoji\nconcepts:\n- {name: fox, images: 'pics[/draft]/a'}\n")
    with pytest.raises(SystemExit) as caught:
        main(["validate", "m.yaml"])
    assert caught.value.code == 2
    assert "pics[/draft]/a" in capsys.readouterr().err


def test_whoever_stops_following_is_told_how_to_follow_or_cancel(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), goes_on("foxes-1"):
        raise KeyboardInterrupt
    told = capsys.readouterr().err
    assert "job foxes-1 goes on" in told
    assert "textinv job wait foxes-1" in told
    assert "textinv job cancel foxes-1" in told


def test_nothing_prints_but_through_one_kind_of_console() -> None:
    for plane in ("textinv", "cluster", "services"):
        for path in sorted((ROOT / plane).rglob("*.py")):
            if "making" in path.parts or path.match("textinv/cli/output.py"):
                continue
            for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
                name = call.func.id if isinstance(call.func, ast.Name) else ""
                assert name != "Console", f"{path} makes a console of its own"
                if name == "TextColumn":
                    assert any(word.arg == "markup" for word in call.keywords), (
                        f"{path}: a column takes text for markup"
                    )
