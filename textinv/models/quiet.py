"""Loading with the libraries: what they raise, and none of their bars, which would run through a command's output."""

from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

UNLOADABLE = (SafetensorError, OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError)
"""What the libraries and the readers of their files let through when files are missing, damaged or of another kind."""


@contextmanager
def quiet() -> Iterator[None]:
    """Switch the progress bars of diffusers and transformers off, and on again if they were."""
    import diffusers.utils.logging
    import transformers.utils.logging

    libraries = [diffusers.utils.logging, transformers.utils.logging]
    shown = [library for library in libraries if library.is_progress_bar_enabled()]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()
