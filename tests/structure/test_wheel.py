"""What a wheel of textinv holds."""

from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_holds_the_demo_base_and_not_how_it_is_made() -> None:
    held = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    weights = {path for path in (ROOT / "textinv/demo/weights").rglob("*") if path.is_file()}
    assert {str(path.relative_to(ROOT)) for path in weights} <= held
    assert {"textinv/demo/sprites.npz", "textinv/demo/quickstart.py", "textinv/demo/commands.py"} <= held
    assert [path for path in held if not path.startswith("textinv/") or path.startswith("textinv/demo/making")] == []
