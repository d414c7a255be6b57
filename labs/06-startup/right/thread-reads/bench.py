"""A thread reads the lines and stamps them; the main one waits for its queue."""

import queue
import random
import statistics
import threading
import time

READY = "workload: ready"


def measure(boxes: dict, rounds: int = 10, deadline: float = 30.0) -> list[dict]:
    rows = []
    for number in range(rounds + 1):
        for name in random.sample(sorted(boxes), k=len(boxes)):
            seconds, error = timed(boxes[name], deadline)
            rows.append({"box": name, "round": number, "seconds": seconds, "error": error})
    return rows


def read(box, lines: queue.Queue) -> None:
    for line in iter(box.line, ""):
        lines.put((time.monotonic(), line))
    lines.put((time.monotonic(), ""))


def timed(start, deadline: float) -> tuple[float | None, str | None]:
    lines: queue.Queue = queue.Queue()
    began = time.monotonic()
    box = start()
    reader = threading.Thread(target=read, args=(box, lines), daemon=True)
    reader.start()
    try:
        while True:
            at, line = lines.get(timeout=max(0, began + deadline - time.monotonic()))
            if line == "":
                return None, "the box has ended"
            if line.startswith(READY):
                return at - began, None
    except queue.Empty:
        return None, "too late"
    finally:
        box.stop()
        reader.join()


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
