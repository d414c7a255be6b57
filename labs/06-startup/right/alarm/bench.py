"""A signal ends what takes too long."""

import random
import signal
import statistics
import time

READY = "workload: ready"


class Late(Exception):
    pass


def ring(*_):
    raise Late("the deadline has passed")


def measure(boxes: dict, rounds: int = 10, deadline: float = 30.0) -> list[dict]:
    before = signal.signal(signal.SIGALRM, ring)
    rows = []
    try:
        for number in range(rounds + 1):
            for name in random.sample(list(boxes), len(boxes)):
                rows.append({"box": name, "round": number} | timed(boxes[name], deadline))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return rows


def timed(start, deadline: float) -> dict:
    box = None
    began = time.monotonic_ns()
    signal.setitimer(signal.ITIMER_REAL, deadline)
    try:
        box = start()
        while line := box.line():
            if line.startswith(READY):
                return {"seconds": (time.monotonic_ns() - began) / 1e9, "error": None}
        return {"seconds": None, "error": "the box ended before it was ready"}
    except Late as late:
        return {"seconds": None, "error": str(late)}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if box:
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
