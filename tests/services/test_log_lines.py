"""A replica's process, in which nobody has set up logging, writes the lines that operators look for."""

import subprocess
import sys

PROGRAM = """
import logging
from services.log_lines import write_log_lines

for _ in range(2):
    write_log_lines()
logging.getLogger("services.requests").info("a request")
logging.getLogger("textinv.generation.limits").info("a limit")
logging.getLogger("elsewhere").info("nothing of ours")
"""


def test_each_line_of_ours_is_written_once_and_those_of_libraries_are_not() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    ours = [line for line in done.stderr.splitlines() if " INFO " in line]
    assert [line.partition(" INFO ")[2] for line in ours] == [
        "services.requests a request",
        "textinv.generation.limits a limit",
    ]
