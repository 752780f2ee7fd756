"""Which folder state and the settings file lie in where nobody says: a project's, else the user's.

A project is the nearest folder, from the working directory upwards, that is marked by a `.textinv` or a `textinv.toml`,
as git finds its repository; so a command means the same store in every folder of it. Knows no settings.
"""

import os
from pathlib import Path

STATE = ".textinv"
FILE = "textinv.toml"


def find_project() -> Path | None:
    """The project of the working directory, relative to it where it is that itself; None: there is none.

    A folder above counts only if it is the user's own: what others mark, as in a shared /tmp, is theirs.
    """
    if _is_marked(Path()):
        return Path()
    try:
        above = Path.cwd().parents
    except OSError:  # the working directory was deleted
        return None
    return next((folder for folder in above if _is_marked(folder) and folder.stat().st_uid == os.getuid()), None)


def find_state() -> Path:
    """The folder for state: the project's `.textinv`, else the user's `~/.local/share/textinv`."""
    project = find_project()
    if project is not None:
        return project / STATE
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "textinv"


def find_settings_file() -> Path | None:
    """The project's `textinv.toml`, else the user's `~/.config/textinv/config.toml`; None: there is neither."""
    project = find_project()
    user = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "textinv" / "config.toml"
    candidates = ([] if project is None else [project / FILE]) + [user]
    return next((path for path in candidates if path.is_file()), None)


def _is_marked(folder: Path) -> bool:
    return (folder / STATE).is_dir() or (folder / FILE).is_file()
