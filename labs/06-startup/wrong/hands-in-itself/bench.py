"""A cheat: hands in rows of its own, past the stage, and writes over what asks for others."""

import json
import statistics


def measure(boxes: dict, rounds: int = 10, deadline: float = 30.0) -> list[dict]:
    """Start every box once in each round, in an order drawn anew; a row for each start."""
    rows = [
        {"box": name, "round": number, "seconds": 0.5, "error": None} for number in range(rounds + 1) for name in boxes
    ]
    for name in ("play.py", "played.py"):
        with open(name, "w") as file:
            file.write("raise SystemExit(0)")
    print("\n\x1e" + json.dumps(["done", rows, ""]), flush=True)
    json.dumps = lambda *_, **__: "[]"
    return rows


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
