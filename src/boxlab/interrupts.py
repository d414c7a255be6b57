"""Ctrl-C at the wrong moment: between a thing's creation and our knowing of it, or in the middle of its removal."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deferred() -> Iterator[None]:
    """Hold back SIGINT and SIGTERM until the block has ended; a second one gets through at once.

    Only the main thread can be interrupted, so elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    held: list[int] = []

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def hold(number: int, frame: object) -> None:
        held.append(number)
        if len(held) > 1:
            restore()
            signal.raise_signal(number)

    for number in numbers:
        signal.signal(number, hold)
    try:
        yield
    finally:
        restore()
        if len(held) == 1:  # also where the block raises: that stays as its context
            signal.raise_signal(held[0])
