"""A line that single readings cannot draw away: the median of all slopes."""

import itertools
import statistics


def total(reading: dict) -> float:
    return sum(process["pss"] for process in reading["processes"]) / (1 << 20)


def line(readings: list[dict]) -> tuple[float, float]:
    points = [(reading["containers"], total(reading)) for reading in readings]
    slope = statistics.median((b - d) / (a - c) for (a, b), (c, d) in itertools.combinations(points, 2) if a != c)
    return slope, statistics.median(y - slope * x for x, y in points)


def predict(readings: list[dict], count: int) -> float:
    slope, intercept = line(readings)
    return intercept + slope * count


def fits(readings: list[dict], budget: float) -> tuple[int, bool]:
    slope, intercept = line(readings)
    limit = max(reading["containers"] for reading in readings) * 2
    fitting = [count for count in range(1, limit + 1) if intercept + slope * count <= budget]
    return len(fitting), len(fitting) == limit
