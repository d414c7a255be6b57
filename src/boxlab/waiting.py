"""Waiting for what somebody else brings about, and not for ever."""

import time
from collections.abc import Callable
from typing import TypeVar

from boxlab.errors import BoxlabError
from boxlab.language import _

T = TypeVar("T")

HANG_S = 600
"""Seconds that only what hangs takes; it promises nothing of how fast anything is."""


def until(condition: Callable[[], T], what: str = "a condition", going: Callable[[], object] = lambda: True) -> T:
    """Wait until a condition holds, and return what it returned then.

    Args:
        what: what is waited for, in words.
        going: whether that which shall bring it about is still at work.

    Raises:
        BoxlabError: it does not come.
    """
    see = _("see with `docker ps --all` and `docker logs` what has become of it")
    began = time.monotonic()
    while not (found := condition()):
        if not going() and not condition():
            raise BoxlabError(_("what should bring it about has ended: {what}", what=what), see)
        if (waited := time.monotonic() - began) > HANG_S:
            raise BoxlabError(_("waited {seconds} s in vain: {what}", seconds=HANG_S, what=what), see)
        time.sleep(min(0.02 + waited / 20, 1))  # to ask takes time of who shall bring it about
    return found
