"""Files that a command writes where a person said.

Owns the one rule for them: folders on the way are made, a file that exists is replaced as a whole and never half, and
what stands in the way is told by name.
"""

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from textinv.errors import InputError


def write_output(path: Path, body: bytes) -> Path:
    """Write a file.

    Raises:
        InputError: it cannot be written there.
    """
    path = path.expanduser()
    if path.is_dir():
        raise InputError(f"{path} is a folder: name the file to write in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a pipe, or /dev/stdout
            path.write_bytes(body)
            return path
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as draft:
            draft.write(body)
        os.chmod(draft.name, 0o666 & ~_umask())
        os.replace(draft.name, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
    return path


def output_folder(path: Path) -> Path:
    """Make a folder to write into.

    Raises:
        InputError: it cannot be made.
    """
    path = path.expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}") from error
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
