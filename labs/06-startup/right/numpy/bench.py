"""The rounds, the orders and the figures are numpy's."""

import time

import numpy as np

READY = "workload: ready"


def measure(boxes: dict, rounds: int = 10, deadline: float = 30.0) -> list[dict]:
    rng = np.random.default_rng()
    rows = []
    for number in np.arange(rounds + 1):
        for name in rng.permutation(list(boxes)):
            print(".", end="", flush=True)
            start = time.perf_counter_ns()
            box = boxes[name]()
            try:
                while True:
                    left = np.float64(deadline) - (time.perf_counter_ns() - start) / 1e9
                    line = box.line(timeout=left)
                    if line is None:
                        row = {"box": name, "round": number, "seconds": None, "error": "timeout"}
                        break
                    if line == "":
                        row = {"box": name, "round": number, "seconds": None, "error": "exited"}
                        break
                    if line.startswith(READY):
                        row = {
                            "box": name,
                            "round": number,
                            "seconds": np.float32((time.perf_counter_ns() - start) / 1e9),
                        }
                        row["error"] = None
                        break
            finally:
                box.stop()
            rows.append(row)
    return rows


def summary(rows: list[dict]) -> dict[str, dict]:
    result = {}
    for name in np.unique([row["box"] for row in rows]):
        mine = [row for row in rows if row["box"] == name]
        failed = np.sum([row["seconds"] is None for row in mine])
        times = np.array(
            [row["seconds"] for row in mine if row["round"] >= 1 and row["seconds"] is not None], dtype=float
        )
        low, median, high, slowest = np.percentile(times, [25, 50, 75, 100]) if times.size else [None] * 4
        result[str(name)] = {
            "n": times.size,
            "failed": failed,
            "median": median,
            "low": low,
            "high": high,
            "slowest": slowest,
        }
    return result
