"""Progress bars, and what is waited for. A notebook that a build runs has no terminal of its own: they go where the build says."""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TextIO, TypeAlias, TypeVar

from tqdm import tqdm

from boxlab.language import _

T = TypeVar("T")

Bar: TypeAlias = "tqdm[NoReturn]"
"""A bar that is moved on by hand."""

TERMINAL = "BOXLAB_TERMINAL"
"""Environment variable: the terminal that bars are drawn on instead of the error output; set and empty, none is drawn."""

NOTEBOOK_S = 30.0
"""After so long a notebook says what is waited for."""

_SAID: set[str] = set()


@contextmanager
def bar(description: str, **options: Any) -> Iterator["Bar"]:
    """A progress bar with time left; `options` are tqdm's. Without a terminal or a notebook to draw on, silent."""
    with _drawn_on() as (file, silent):
        asked = True if silent else False if file or _in_notebook() else None
        with tqdm(desc=description, file=file, leave=not file, disable=asked, **options) as drawn:
            yield drawn


@contextmanager
def _drawn_on() -> Iterator[tuple[TextIO | None, bool]]:
    """The terminal that we were told to draw on, without becoming its session's own; and whether we are to draw on none."""
    path = os.environ.get(TERMINAL)
    file = None
    with suppress(OSError):  # it is not to be had any more
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_NOCTTY), "w") if path else None
    try:
        yield file, path is not None and not file
    finally:
        if file:
            file.close()


def ipython() -> Any:
    """IPython's shell, where this runs in one, as in a notebook; else None."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def _in_notebook() -> bool:
    return hasattr(ipython(), "kernel")


def say(text: str) -> None:
    """A line on what is waited for, above a bar if one is drawn; without a terminal it goes to the error output."""
    with _drawn_on() as (file, silent):
        if not silent:
            tqdm.write(text, file=file or sys.stderr)


def steps(description: str, items: Sequence[T], name: Callable[[T], str]) -> Iterator[T]:
    """The items, with a bar that names the one at work; where no bar can be drawn, with a line for each."""
    with bar(description, total=len(items)) as drawn:
        for item in items:
            if drawn.disable:
                say(f"{description}: {name(item)}")
            drawn.set_postfix_str(name(item))
            yield item
            drawn.update()


@contextmanager
def waiting(what: str, after_s: float = 1) -> Iterator[None]:
    """Say once on standard error what is waited for, where that takes longer than `after_s` seconds.

    A notebook shows itself that a cell is at work, and keeps what is said: there it takes half a minute.
    """
    if what in _SAID:
        yield
        return
    timer = threading.Timer(NOTEBOOK_S if _in_notebook() else after_s, _say, [what])
    timer.daemon = True
    with suppress(RuntimeError):  # no further thread is allowed: then nothing is said
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _say(what: str) -> None:
    if what not in _SAID:
        _SAID.add(what)
        tqdm.write(f"boxlab: {_('waiting for {what}', what=what)}", file=sys.stderr)
