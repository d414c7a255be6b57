"""Looks for a line every millisecond, and tells each start on its error output."""

import logging
import random
import statistics
import time
from dataclasses import asdict, dataclass

READY = "workload: ready"
logging.basicConfig(level=logging.INFO)


@dataclass
class Row:
    box: str
    round: int
    seconds: float | None = None
    error: str | None = None


def measure(boxes: dict, rounds: int = 10, deadline: float = 30.0) -> list[dict]:
    rows = []
    for number in range(rounds + 1):
        for name in sorted(boxes, key=lambda _: random.random()):
            row = Row(name, number)
            began = time.perf_counter()
            box = boxes[name]()
            try:
                row.seconds = poll(box, began, deadline)
            except RuntimeError as error:
                row.error = str(error)
            finally:
                box.stop()
            rows.append(asdict(row))
            logging.info("%s", row)
    return rows


def poll(box, began: float, deadline: float) -> float:
    while time.perf_counter() < began + deadline:
        line = box.line(0)
        if line is None:
            time.sleep(0.001)
        elif not line:
            raise RuntimeError("the box has ended")
        elif line.startswith(READY):
            return round(time.perf_counter() - began, 3)
    raise RuntimeError(f"nothing useful within {deadline} s")


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
