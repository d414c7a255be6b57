"""Mistaken: the means of the fewest containers and of the most, and nothing between them."""

import statistics

MIB = 1 << 20


def total(reading: dict) -> float:
    """What the containers of one reading take together, with all that runs for their sake, in MiB.

    Only proportional sets may be added: a page that several processes share is in each of their resident sets.
    """
    return sum(process["pss"] for process in reading["processes"]) / MIB


def line(readings: list[dict]) -> tuple[float, float]:
    """What one more takes, and what all of them share, in MiB."""
    totals = {}
    for reading in readings:
        totals.setdefault(reading["containers"], []).append(total(reading))
    fewest, most = min(totals), max(totals)
    slope = (statistics.mean(totals[most]) - statistics.mean(totals[fewest])) / (most - fewest)
    return slope, statistics.mean(totals[most]) - slope * most


def predict(readings: list[dict], count: int) -> float:
    """What `count` containers would take together, in MiB, if they go on as those of the readings do."""
    slope, intercept = line(readings)
    return intercept + slope * count


def fits(readings: list[dict], budget: float) -> tuple[int, bool]:
    """How many containers `budget` MiB hold, and whether that is only as far as the readings let us see."""
    slope, intercept = line(readings)
    limit = 2 * max(reading["containers"] for reading in readings)
    count = max(0, int((budget - intercept) / slope))
    return min(count, limit), count >= limit
