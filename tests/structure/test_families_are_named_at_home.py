"""Code outside `textinv/models/families/` does not name a family of transformers: what it needs it asks the model."""

import re
from pathlib import Path

from textinv.models.families import known_families
from textinv.models.transformer import TransformerModel

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "textinv" / "models" / "families"


def test_no_code_outside_names_a_family_of_transformers() -> None:
    names = [family.family for family in known_families() if issubclass(family, TransformerModel)]
    assert "sd3" in names
    spelled = re.compile(rf"\b({'|'.join(name.replace('-', '[-_ ]?') for name in names)})\b", re.IGNORECASE)
    files = [file for plane in ("textinv", "cluster", "services") for file in (ROOT / plane).rglob("*.py")]
    outside = [file for file in files if not file.is_relative_to(HOME)]
    found = [str(file.relative_to(ROOT)) for file in outside if spelled.search(file.read_text())]
    assert len(outside) > 100
    assert found == []


def test_a_familys_file_of_transformers_is_short() -> None:
    lengths = {file.name: len(file.read_text().splitlines()) for file in HOME.glob("*.py")}
    assert {name: length for name, length in lengths.items() if length > 160} == {}
