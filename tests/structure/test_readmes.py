"""What people read first is short, its links lead somewhere, and continuous integration runs its test command."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
READMES = [
    ROOT / "README.md",
    ROOT / "manifests" / "README.md",
    *(ROOT / room / "README.md" for room in ("textinv", "services", "cluster", "tests/benchmarks")),
]
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_the_readme_is_at_most_160_lines_of_at_most_100_columns() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 160
    assert [line for line in lines if len(line) > 100 and not line.startswith("|") and "://" not in line] == []


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a file."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> Iterator[tuple[Path, str]]:
    for path in READMES:
        for target in _LINK.findall(path.read_text()):
            if "://" not in target:
                yield path, target


@pytest.mark.parametrize(("path", "target"), list(links()), ids=lambda value: str(value)[-50:])
def test_a_link_leads_to_a_file_and_to_a_heading_of_it(path: Path, target: str) -> None:
    file, _, anchor = target.partition("#")
    there = (path.parent / file).resolve() if file else path
    assert there.exists()
    assert not anchor or anchor in anchors(there)


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    stages = re.findall(r"^stage \w+ (make \w+)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert "make test" in stages
    assert re.search(r"^make test\b", (ROOT / "README.md").read_text(), re.MULTILINE)


def test_every_target_that_a_readme_names_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in READMES:
        for line in re.findall(r"(?:^|`)make ([a-z][a-z -]*[a-z])", path.read_text(), re.MULTILINE):
            assert set(line.split()) <= targets, f"{path}: make {line}"
