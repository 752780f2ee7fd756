"""Code outside `textinv/models/families/` does not name a family: what it needs it asks the model."""

import ast
import re
from pathlib import Path

from textinv.models.families import known_families
from textinv.models.transformer import TransformerModel

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "textinv" / "models" / "families"
EXAMPLES = "examples.py"
"""Show answers, in which a family may stand."""


def _outside() -> list[Path]:
    files = [file for plane in ("textinv", "cluster", "services") for file in (ROOT / plane).rglob("*.py")]
    return [file for file in files if not file.is_relative_to(HOME)]


def test_no_code_outside_names_a_family_of_transformers() -> None:
    names = [family.family for family in known_families() if issubclass(family, TransformerModel)]
    assert "sd3" in names
    spelled = re.compile(rf"\b({'|'.join(name.replace('-', '[-_ ]?') for name in names)})\b", re.IGNORECASE)
    found = [str(file.relative_to(ROOT)) for file in _outside() if spelled.search(file.read_text())]
    assert len(_outside()) > 100
    assert found == []


def test_no_code_outside_decides_by_the_name_of_a_family_or_its_class() -> None:
    families = known_families()
    names, classes = {family.family for family in families}, {family.__name__ for family in families}
    assert {"sd1", "sdxl"} <= names
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in _outside()
        if file.name != EXAMPLES
        for node in ast.walk(ast.parse(file.read_text()))
        if (isinstance(node, ast.Constant) and node.value in names)
        or (isinstance(node, ast.Name) and node.id in classes)
        or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("textinv.models.families."))
    ]
    assert found == []


def test_a_familys_file_is_short() -> None:
    lengths = {file.name: len(file.read_text().splitlines()) for file in HOME.glob("*.py")}
    assert {name: length for name, length in lengths.items() if length > 160} == {}
