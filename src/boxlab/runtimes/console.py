"""Read what a box prints, line by line, and stamp on the host's clock the lines that mark a phase."""

import contextlib
import math
import re
import time
from typing import Protocol

from boxlab.errors import NotReady
from boxlab.language import _

LIMIT_BYTES = 1 << 20
"""A box that prints more than this before it is ready is given up."""


ASLEEP_S = 5.0
"""Between two looks at a serial port, a second apart, so much more time passes only where nobody could look."""

AWAKE, SILENT_S = b"\x11", 1.0
"""What is sent to a machine's serial port that has said nothing for so long: XON, which its terminal takes and passes on to nobody.

In about one boot of a hundred under emulation (QEMU 7.2, measured here with 300) the port's interrupt is lost while the kernel has
it masked: the line stays up, no further edge comes, and whatever writes waits for ever. A byte that arrives is a new edge.
"""


class Source(Protocol):
    """Where a box's output comes from."""

    def read(self, timeout_s: float) -> bytes | None:
        """What has arrived: b"" when nothing more will come, None when nothing came in time."""

    def send(self, data: bytes) -> None:
        """Write to the box's input."""

    def exit_reason(self) -> str:
        """Why nothing more will come, in a few words."""


class Console:
    """The output of one box.

    Attributes:
        marks: seconds from `t0` to the arrival of the first line that matches each pattern, in order of arrival.
        t0: where the marks count from, on the host's monotonic clock.
        lines: everything printed so far, each with its arrival in seconds from `t0`.
        woken: how often a machine's serial port had to be woken, which only happens where it says nothing.

    Args:
        serial: whether the source is such a port.
    """

    def __init__(self, source: Source, patterns: dict[str, str], t0: float, serial: bool = False):
        self._source = source
        self._serial = serial
        self._waiting = {name: re.compile(pattern.encode()) for name, pattern in patterns.items()}
        self.t0 = t0
        self._partial = b""
        self._received = 0
        self.marks: dict[str, float] = {}
        self.found: dict[str, str] = {}
        self.lines: list[tuple[float, str]] = []
        self.woken = 0

    def wait_for(self, mark: str, deadline_s: float, silence_s: float = math.inf) -> str:
        """Read until the line of `mark` has come, and return the text that its pattern's group matched.

        Args:
            mark: one of the patterns' names.
            deadline_s: seconds from `t0` after which the box counts as hung.
            silence_s: seconds without any output after which it does so earlier.

        Raises:
            NotReady: the deadline passed, the output ended or it was too much.
        """
        while mark not in self.found:
            silent = time.monotonic() + silence_s
            if silent < self.t0 + deadline_s:
                late = _(
                    "{what} did not come and nothing else did for {seconds:g} s", what=repr(mark), seconds=silence_s
                )
                self._read(repr(mark), silent, late)
            else:
                self._read(repr(mark), self.t0 + deadline_s, _late(repr(mark), deadline_s))
        return self.found[mark]

    def next(self, pattern: str, deadline_s: float) -> str:
        """Read until a line matches `pattern` that had not been read before, and return what its group matched.

        Args:
            pattern: a regular expression with one group; if empty, that of any line.
            deadline_s: seconds from now.

        Raises:
            NotReady: as for `wait_for`.
        """
        wanted, seen, deadline = re.compile(pattern or "(.*)"), len(self.lines), time.monotonic() + deadline_s
        while True:
            for _at, text in self.lines[seen:]:
                if match := wanted.search(text):
                    self._received = 0  # it may print as much again before the next answer
                    return match[1]
            seen = len(self.lines)
            awaited = repr(pattern) if pattern else _("a further line")
            self._read(awaited, deadline, _late(awaited, deadline_s))

    def _read(self, awaited: str, deadline: float, late: str) -> None:
        """Take in what has arrived; `deadline` is on the host's monotonic clock, and `late` says that it has passed."""
        looked = time.monotonic()
        while (chunk := self._source.read(self._patience(deadline))) is None and self._serial:
            now = time.monotonic()
            if now - looked > ASLEEP_S:  # this machine was, or we were held: no time of the box's
                deadline += now - looked
            looked = now
            if now >= deadline:
                break
            with contextlib.suppress(NotReady):  # it has ended, which the next read says
                self._source.send(AWAKE)
            self.woken += 1
        arrived = time.monotonic() - self.t0
        if chunk is None:
            raise NotReady(f"{late}; {self._last_words()}", hung=True)
        if not chunk:
            early = _("it ended before {what}", what=awaited)
            raise NotReady(f"{early}: {self._source.exit_reason()}; {self._last_words()}")
        self._received += len(chunk)
        if self._received > LIMIT_BYTES:
            much = _("it printed more than {size} KiB before {what}", size=LIMIT_BYTES >> 10, what=awaited)
            raise NotReady(f"{much}; {self._last_words()}")
        *complete, self._partial = (self._partial + chunk).split(b"\n")
        for line in complete:
            self._take(line, arrived)

    def _patience(self, deadline: float) -> float:
        """How many seconds to wait for the next output."""
        left = deadline - time.monotonic()
        return min(left, SILENT_S) if self._serial else left

    def _take(self, line: bytes, arrived: float) -> None:
        self.lines.append((arrived, line.decode(errors="replace").rstrip()))
        for name, pattern in list(self._waiting.items()):
            if match := pattern.search(line):
                del self._waiting[name]
                self.marks[name] = arrived
                self.found[name] = (match[1] if pattern.groups else match[0]).decode(errors="replace").strip()

    def _last_words(self) -> str:
        last = next((text for _at, text in reversed(self.lines) if text.strip()), "")
        last = last or self._partial[:200].decode(errors="replace")
        return _("its last line was {line!r}", line=last[:200]) if last else _("it printed nothing")


def _late(awaited: str, seconds: float) -> str:
    return _("{what} did not come within {seconds:g} s", what=awaited, seconds=seconds)
