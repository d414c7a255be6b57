"""Ctrl-C at the wrong moment: before a command has begun, between a thing's creation and our knowing of it, in its removal."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from boxlab.language import _

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What tells a command to end; the last when its terminal is closed."""

STATUS = 130
"""Exit status of a command that was told to end."""

INTERRUPTED = _("interrupted; nothing of ours is left running")
"""What it says then."""

AGAIN_S = 0.02
"""After how long an interrupt that was lost strikes again."""

_heard: list[signal.Signals] = []
_deferring = threading.Event()


@contextmanager
def deferred() -> Iterator[None]:
    """Hold back what tells us to end until the block has ended; a second one gets through at once.

    Only the main thread can be interrupted, so elsewhere this does nothing; nor does it within another such block.
    """
    if threading.current_thread() is not threading.main_thread() or _deferring.is_set():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    held: list[int] = []

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def hold(number: int, frame: object) -> None:
        held.append(number)
        if len(held) > 1:
            restore()
            signal.raise_signal(number)

    for number in SIGNALS:
        signal.signal(number, hold)
    _deferring.set()
    try:
        yield
    finally:
        _deferring.clear()
        restore()
        if len(held) == 1:  # also where the block raises: that stays as its context
            signal.raise_signal(held[0])


def signal_group(leader: int, number: int) -> None:
    """Signal all of a group that we have started, if anything is left of it: where that has ended and nobody has asked how, macOS
    does not permit it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def listen() -> None:
    """End this process in one line when it is told to: it is a command, and has nothing to clean up yet.

    What whoever started it has it ignore, as `nohup` and a shell's `&` do, stays ignored.
    """
    _heard[:] = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    _handle(lambda number, frame: end())
    sys.unraisablehook = _not_lost


@contextmanager
def raised() -> Iterator[None]:
    """In the block, what tells this command to end is a KeyboardInterrupt, so that the block can clean up."""
    try:
        _handle(signal.default_int_handler)
        yield
    finally:
        _handle(lambda number, frame: end())


def ignore() -> None:
    """Go on to the end: all is done, and Python takes its time to end."""
    _handle(signal.SIG_IGN)


def end() -> NoReturn:
    """End at once, with one line."""
    with suppress(OSError):  # nobody is left to read it
        os.write(2, f"boxlab: {INTERRUPTED}\n".encode())
    os._exit(STATUS)


def _handle(handler: signal.Handlers | Callable[[int, FrameType | None], object]) -> None:
    for number in _heard:
        signal.signal(number, handler)


def _not_lost(unraisable: "sys.UnraisableHookArgs") -> None:
    """Where Python drops exceptions, as in a finalizer, it drops an interrupt as well: let it strike again."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        main = threading.main_thread().ident
        threading.Timer(AGAIN_S, signal.pthread_kill, [main, signal.SIGINT]).start()
    else:
        sys.__unraisablehook__(unraisable)
