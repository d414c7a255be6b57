"""Progress bars, and what is waited for. A notebook that a build runs has no terminal of its own: its bars go where the build says."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

TERMINAL = "BOXLAB_TERMINAL"
"""Environment variable: the terminal that bars are drawn on instead of the error output; set and empty, none is drawn."""

_SAID: set[str] = set()


@contextmanager
def bar(description: str, **options) -> Iterator[tqdm]:
    """A progress bar with time left; `options` are tqdm's. Without a terminal or a notebook to draw on, silent."""
    path = os.environ.get(TERMINAL)
    file = _terminal(path) if path else None
    silent = True if path is not None and not file else (False if file or "ipykernel" in sys.modules else None)
    try:
        with tqdm(desc=description, file=file, leave=not file, disable=silent, **options) as drawn:
            yield drawn
    finally:
        if file:
            file.close()


def _terminal(path: str) -> TextIO | None:
    """The terminal at `path`, without becoming its session's own; None where it is not to be had any more."""
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_NOCTTY), "w")
    except OSError:
        return None


@contextmanager
def waiting(what: str, after_s: float = 1) -> Iterator[None]:
    """Say once on standard error what is waited for, where that takes longer than `after_s` seconds."""
    if what in _SAID:
        yield
        return
    timer = threading.Timer(after_s, _say, [what])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _say(what: str) -> None:
    if what not in _SAID:
        _SAID.add(what)
        tqdm.write(f"boxlab: waiting for {what}", file=sys.stderr)
