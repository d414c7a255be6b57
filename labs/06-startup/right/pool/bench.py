"""A worker of a pool does the whole start; the main thread waits for its result, and stops the box if none comes."""

import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late

READY = "workload: ready"


def measure(boxes: dict, rounds: int = 10, deadline: float = 30.0) -> list[dict]:
    rows = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        for number in range(rounds + 1):
            for name in random.sample(list(boxes), len(boxes)):
                began = time.perf_counter()
                box = boxes[name]()
                row = {"box": name, "round": number, "seconds": None, "error": None}
                try:
                    ready = pool.submit(until_ready, box).result(timeout=began + deadline - time.perf_counter())
                    row |= {"seconds": ready - began} if ready else {"error": "ended"}
                except Late:
                    row["error"] = "no useful line in time"
                finally:
                    box.stop()
                rows.append(row)
    return rows


def until_ready(box) -> float | None:
    while line := box.line():
        if line.startswith(READY):
            return time.perf_counter()
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
