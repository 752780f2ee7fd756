"""Programs that each run in a fork of one process, which has imported once what all of them need.

Does not know what they are; a fork ends with its program, so that none notices another.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FORKING = """
import json, os, sys, traceback

folder, first, programs = json.loads(sys.stdin.read())
exec(first)
for number, program in enumerate(programs):
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{folder}/{number}.{name}", os.O_WRONLY | os.O_CREAT), stream)
    status = 0
    try:
        exec(program, {})
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
"""


def run_in_forks(folder: Path, first: str, programs: Mapping[str, str]) -> dict[str, subprocess.CompletedProcess[str]]:
    """Run `first` and then each program in a fork; how each ended. What they print is kept in `folder`."""
    sent = json.dumps([str(folder), first, list(programs.values())])
    done = subprocess.run(
        [sys.executable, "-c", FORKING], input=sent, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {
        name: subprocess.CompletedProcess(
            program, int(status), *((folder / f"{number}.{end}").read_text() for end in ("out", "err"))
        )
        for number, ((name, program), status) in enumerate(zip(programs.items(), done.stdout.split(), strict=True))
    }


def cli_without(modules: tuple[str, ...]) -> str:
    """A program that reads the command line's modules where those are missing.

    Python takes None among its modules for one that is not there.
    """
    return f"import sys; sys.modules.update(dict.fromkeys({modules!r}))\nfrom textinv.cli import build_app; build_app()"


def command_without(missing: tuple[str, ...], modules: tuple[str, ...], words: list[str]) -> str:
    """A program, after `cli_without(modules)`, that runs a command where only some of them are missing."""
    return (
        f"import sys; [sys.modules.pop(name) for name in {modules!r} if name not in {missing!r}]\n"
        f"from textinv.cli import main; main({words!r})"
    )
