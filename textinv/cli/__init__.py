"""The command line: `textinv`.

Owns which commands there are, the flags that hold for all of them, and what a failure looks like. Each group of
commands is one module; the cluster, the services and the demo add theirs where they are installed. Nothing heavy is
imported before a command needs it. Open `app.py` first.
"""

import gc

# What is imported and read is no garbage: to look through it, again and again, would take a sixth of a command's time.
gc.set_threshold(1_000_000)

from textinv.cli.app import build_app, main  # noqa: E402

__all__ = ["build_app", "main"]
