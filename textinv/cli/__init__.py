"""The command line: `textinv`.

Owns which commands there are, the flags that hold for all of them, and what a failure looks like. Each group of
commands is one module; the cluster, the services and the demo add theirs where they are installed. Nothing heavy is
imported before a command needs it. Open `app.py` first.
"""

from textinv.cli.app import build_app, main

__all__ = ["build_app", "main"]
