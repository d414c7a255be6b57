"""`make bench`: what is promised to be fast, timed on this machine; and what the library itself costs.

Not a test: times differ between machines. A budget is held against a calibration in the same run, a fixed piece of work
and a fixed container start: on a machine where these take twice as long, what is promised may, too. Each line stands as
soon as it is measured; `make bench ONLY="unit labs"` measures some parts alone.
"""

import hashlib
import signal
import sys
import time
from collections.abc import Callable

import numpy as np
from promises import PARTS, Line, bare_start

from boxlab import images
from boxlab.errors import BoxlabError
from boxlab.formatting import seconds

PROMISED_ON = {"work": 0.07, "container start": 0.18}
"""Seconds that the two took on the quiet machine on which the budgets were set."""


def work() -> float:
    """Seconds for a fixed piece of work of one processor."""
    began, digest = time.monotonic(), b""
    for _ in range(200_000):
        digest = hashlib.sha256(digest).digest()
    return time.monotonic() - began


def calibrate(say: Callable[[str], None]) -> float:
    """How many times as long the slower of the two takes here; one on a faster machine, too.

    Raises:
        BoxlabError: the machine is in the way.
    """
    images.ensure("workload")
    factor = 1.0
    for name, measure in (("work", work), ("container start", bare_start)):
        measure()  # warms up
        here = float(np.median([measure() for _ in range(5)]))
        factor = max(factor, here / PROMISED_ON[name])
        say(row(f"calibration: {name}", seconds(here), f"{seconds(PROMISED_ON[name])} where promised"))
    return factor


def row(what: str, measured: str, promise: str = "") -> str:
    return f"{what:40} {measured:>36}  {promise}".rstrip()


def judged(line: Line, factor: float) -> str:
    """A line with what it is held against."""
    if line.budget_s is None:
        return row(line.what, line.measured, line.promise)
    allowed = line.budget_s * factor
    verdict = "kept" if line.seconds <= allowed else "NOT KEPT"
    return row(line.what, line.measured, f"under {line.budget_s:g} s, here {seconds(allowed)}: {verdict}")


def measure(names: list[str], say: Callable[[str], None]) -> int:
    """Measure these parts one by one, and say each line at once: the number of parts that failed."""
    failed = 0
    try:
        factor = calibrate(say)
        for name in names:
            try:
                for line in PARTS[name]():
                    say(judged(line, factor))
            except Exception as error:  # whatever is wrong with one part, the others are measured
                failed += 1
                say(row(name, "failed", " ".join(f"{type(error).__name__}: {error}".split())))
    except KeyboardInterrupt:
        say("interrupted; the lines above stand")
        return failed + 1
    return failed


def main(names: list[str]) -> int:
    # A shell's `&`, nohup and cron start us deaf to Ctrl-C, and what we start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if unknown := [name for name in names if name not in PARTS]:
        print(f"bench: there is no part {unknown[0]!r}\n  fix: some of: {' '.join(PARTS)}", file=sys.stderr)
        return 2
    try:
        return 1 if measure(names or [*PARTS], lambda text: print(text, flush=True)) else 0
    except BoxlabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
