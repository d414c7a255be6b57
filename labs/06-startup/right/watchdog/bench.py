"""A timer stops the box whose time is over, so that its lines come to an end."""

import random
import statistics
import threading
import time

READY = "workload: ready"


def measure(boxes: dict, rounds: int = 10, deadline: float = 30.0) -> list[dict]:
    rows, last = [], None
    for number in range(rounds + 1):
        order = list(boxes)
        random.shuffle(order)
        while len(order) > 1 and order[0] == last:  # no box follows itself
            random.shuffle(order)
        for name in order:
            rows.append({"box": name, "round": number} | timed(boxes[name], deadline))
        last = order[-1]
    return rows


def timed(start, deadline: float) -> dict:
    began = time.monotonic()
    box = start()
    watchdog = threading.Timer(began + deadline - time.monotonic(), box.stop)
    watchdog.start()
    try:
        for line in iter(lambda: box.line(), ""):
            if line.startswith(READY):
                return {"seconds": time.monotonic() - began, "error": None}
        return {"seconds": None, "error": f"no useful line after {time.monotonic() - began:.1f} s"}
    finally:
        watchdog.cancel()
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
