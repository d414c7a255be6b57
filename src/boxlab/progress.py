"""Progress bars. A notebook that a build runs has no terminal of its own: its bars go where the build says."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

TERMINAL = "BOXLAB_TERMINAL"
"""Environment variable: the terminal that bars are drawn on instead of the error output; set and empty, none is drawn."""


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


def notice(text: str) -> None:
    """One line where bars go, also without a terminal; it is no part of a notebook's output where a build runs that."""
    path = os.environ.get(TERMINAL)
    if path is None:
        print(f"boxlab: {text}", file=sys.stderr, flush=True)
    elif path and (file := _terminal(path)):
        with file:
            print(f"boxlab: {text}", file=file)


def _terminal(path: str) -> TextIO | None:
    """The terminal at `path`, without becoming its session's own; None where it is not to be had any more."""
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_NOCTTY), "w")
    except OSError:
        return None
