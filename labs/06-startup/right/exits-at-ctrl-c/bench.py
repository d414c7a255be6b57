"""How long does each kind of box take to start, from the call to its first useful output?"""

import random
import statistics
import sys
import time

READY = "workload: ready"
"""The first useful output is the first line that begins with this."""


def measure(boxes: dict, rounds: int = 10, deadline: float = 30.0) -> list[dict]:
    """Start every box once in each round, in an order drawn anew; a row for each start."""
    rows = []
    try:
        for number in range(rounds + 1):
            for name in random.sample(list(boxes), len(boxes)):
                seconds, error = timed(boxes[name], deadline)
                rows.append({"box": name, "round": number, "seconds": seconds, "error": error})
    except KeyboardInterrupt:
        sys.exit(130)  # as the shell has it
    return rows


def timed(start, deadline: float) -> tuple[float | None, str | None]:
    """Seconds from the call to the first useful output, or why there was none."""
    began = time.monotonic()
    box = start()
    try:
        while line := box.line(began + deadline - time.monotonic()):
            if line.startswith(READY):
                return time.monotonic() - began, None
        return None, "it ended" if line == "" else f"not ready within {deadline:g} s"
    finally:
        box.stop()


def summary(rows: list[dict]) -> dict[str, dict]:
    """What the rows of `measure` come to, by box."""
    found = {}
    for name in {row["box"] for row in rows}:
        mine = [row for row in rows if row["box"] == name]
        times = [row["seconds"] for row in mine if row["round"] > 0 and row["seconds"] is not None]
        found[name] = {
            "n": len(times),
            "failed": sum(row["seconds"] is None for row in mine),
            "median": statistics.median(times) if times else None,
            "low": quartile(times, 0),
            "high": quartile(times, 2),
            "slowest": max(times, default=None),
        }
    return found


def quartile(times: list[float], which: int) -> float | None:
    if len(times) < 2:
        return times[0] if times else None
    return statistics.quantiles(times, method="inclusive")[which]
