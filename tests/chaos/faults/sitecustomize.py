"""On the path of a cluster's processes: one of those that have a writer loses it once a file says so.

The file's name is in the environment; who removes it is the one. The writer gets an error that none of its code raises,
as soon as it has something to write.
"""

import ctypes
import os
import threading
import time


def _watch(order: str) -> None:
    while True:
        time.sleep(0.2)
        writer = next((thread for thread in threading.enumerate() if thread.name == "textinv-outbox"), None)
        if writer is None:
            continue
        try:
            os.remove(order)
        except FileNotFoundError:
            continue
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(writer.ident or 0), ctypes.py_object(RuntimeError))
        return


if os.environ.get("CHAOS_ENDS_A_WRITER"):
    threading.Thread(target=_watch, args=(os.environ["CHAOS_ENDS_A_WRITER"],), daemon=True).start()
