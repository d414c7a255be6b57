"""How tests wait: for events. The one deadline here only ends what hangs; it promises nothing of how fast anything is."""

import time
from collections.abc import Callable

HANG_S = 600


def until(condition: Callable[[], object], going: Callable[[], object] = lambda: True) -> None:
    """Wait until something has come to be, as long as that which shall bring it about is `going`."""
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert going() or condition(), "what should bring it about has ended"
        assert time.monotonic() < deadline, "it hangs"
        time.sleep(0.02)
