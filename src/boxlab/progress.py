"""Progress bars, and what is waited for. A notebook that a build runs has no terminal of its own: they go where the build says."""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO, TypeAlias, TypeVar

from tqdm import tqdm

T = TypeVar("T")

Bar: TypeAlias = "tqdm[NoReturn]"
"""A bar that is moved on by hand."""

TERMINAL = "BOXLAB_TERMINAL"
"""Environment variable: the terminal that bars are drawn on instead of the error output; set and empty, none is drawn."""

_SAID: set[str] = set()


@contextmanager
def bar(description: str, **options: Any) -> Iterator["Bar"]:
    """A progress bar with time left; `options` are tqdm's. Without a terminal or a notebook to draw on, silent."""
    path = os.environ.get(TERMINAL)
    file = _terminal(path) if path else None
    silent = True if path is not None and not file else (False if file or _in_notebook() else None)
    try:
        with tqdm(desc=description, file=file, leave=not file, disable=silent, **options) as drawn:
            yield drawn
    finally:
        if file:
            file.close()


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def say(text: str) -> None:
    """A line on what is waited for, above a bar if one is drawn; without a terminal it goes to the error output."""
    path = os.environ.get(TERMINAL)
    file = _terminal(path) if path else None
    if path is not None and not file:
        return
    try:
        tqdm.write(text, file=file or sys.stderr)
    finally:
        if file:
            file.close()


def steps(description: str, items: Sequence[T], name: Callable[[T], str]) -> Iterator[T]:
    """The items, with a bar that names the one at work; where no bar can be drawn, with a line for each."""
    with bar(description, total=len(items)) as drawn:
        for item in items:
            if drawn.disable:
                say(f"{description}: {name(item)}")
            drawn.set_postfix_str(name(item))
            yield item
            drawn.update()


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
