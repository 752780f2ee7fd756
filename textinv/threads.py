"""Threads that must not end unasked.

A process whose writer or heart has stopped looks alive and does nothing, and whoever waits for it waits for ever. So
such a thread ends its process when it fails, loudly; whoever started the process starts another. All lasting threads
are made here. Does not know what they do.
"""

import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable

EXIT_CODE = 70
"""Of a process that one of its threads ended: EX_SOFTWARE of sysexits.h."""
_LOG = logging.getLogger("textinv.threads")


def vital(work: Callable[[], None], name: str) -> threading.Thread:
    """A thread, not started yet, that does `work` beside the process; an error in it ends the process."""

    def run() -> None:
        try:
            work()
        except BaseException as error:
            _LOG.critical("the thread %s failed, so this process ends: %r", name, error, exc_info=True)
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            faulthandler.dump_traceback(file=sys.__stderr__ or sys.stderr)
            os._exit(EXIT_CODE)

    return threading.Thread(target=run, name=name, daemon=True)


def beside(work: Callable[[], object], name: str) -> threading.Thread:
    """A thread, not started yet, whose `work` hands its errors to somebody who waits for it, or may fail alone."""
    return threading.Thread(target=work, name=name, daemon=True)
