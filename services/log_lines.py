"""Where the log lines of a replica go.

Owns the set-up of logging in a process of Ray Serve, which sets up its own logger only.
"""

import logging


def write_log_lines() -> None:
    """Write our log lines to stderr, which Ray keeps; of a program that sets up nothing Python shows only warnings."""
    for name in ("services", "textinv"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        if not logger.handlers:
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
            logger.addHandler(handler)
