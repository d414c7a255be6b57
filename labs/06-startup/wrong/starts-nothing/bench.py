"""Mistaken: nothing is measured, so that nothing can be wrong."""

import statistics


def measure(boxes: dict, rounds: int = 10, deadline: float = 30.0) -> list[dict]:
    """Nothing is started, and nothing goes wrong."""
    return []


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
