"""How long does each kind of box take to start, from the call to its first useful output?"""

import random
import statistics
import time
from multiprocessing import TimeoutError as Late
from multiprocessing.pool import ThreadPool

READY = "workload: ready"
"""The first useful output is the first line that begins with this."""


def measure(boxes: dict, rounds: int = 10, deadline: float = 30.0) -> list[dict]:
    """Start every box once in each round, in an order drawn anew; a row for each start."""
    rows = []
    with ThreadPool(2) as pool:
        for number in range(rounds + 1):
            for name in random.sample(list(boxes), len(boxes)):
                seconds, error = timed(pool, boxes[name], deadline)
                rows.append({"box": name, "round": number, "seconds": seconds, "error": error})
    return rows


def timed(pool, start, deadline: float) -> tuple[float | None, str | None]:
    """Seconds from the call to the first useful output, or why there was none."""
    began = time.monotonic()
    box = start()
    try:
        at = pool.apply_async(until_ready, (box,)).get(began + deadline - time.monotonic())
        return (at - began, None) if at else (None, "it ended")
    except Late:
        return None, f"not ready within {deadline:g} s"
    finally:
        box.stop()


def until_ready(box) -> float | None:
    """When the box was ready; None if it has ended."""
    while line := box.line():
        if line.startswith(READY):
            return time.monotonic()
    return None


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
