"""A program on a terminal of its own, as a reader has it: what it prints is waited for, and keys are typed."""

import os
import pty
import select
import signal
import time
from contextlib import suppress

from toy_lab import HANG_S


class Terminal:
    """A running program; use it in a `with`.

    Attributes:
        printed: all that it has printed.
    """

    def __init__(self, command: list[str], environment: dict[str, str] | None = None):
        self.printed, self._read = "", 0
        self.pid, self._ours = pty.fork()
        if not self.pid:
            os.execvpe(command[0], command, os.environ | (environment or {}))

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._ours)
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def expect(self, text: str) -> None:
        """Wait until it prints a text, after the one that was waited for before.

        Raises:
            AssertionError: it ends or hangs without.
        """
        deadline = time.monotonic() + HANG_S
        while (at := self.printed.find(text, self._read)) < 0:
            assert self._more(deadline), f"{text!r} was not printed in {self.printed[self._read :]!r}"
        self._read = at + len(text)

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def ends_within(self, seconds: float) -> bool:
        """Whether it has ended after so many seconds."""
        deadline = time.monotonic() + seconds
        while self._more(deadline):
            pass
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def status(self) -> int:
        """Wait for its end, and return its exit status."""
        deadline = time.monotonic() + HANG_S
        while self._more(deadline):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _more(self, deadline: float) -> bool:
        """Read what it prints next; false once it has ended or hangs."""
        if not select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            chunk = os.read(self._ours, 1 << 16)
        except OSError:  # what Linux says where the last process has left a terminal
            return False
        self.printed += chunk.decode(errors="replace")
        return bool(chunk)
