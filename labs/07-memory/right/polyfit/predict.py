"""The line is numpy's, and so is the search for how many fit."""

import numpy as np


def total(reading: dict) -> float:
    return np.sum([p["pss"] for p in reading["processes"]]) / np.float64(1024**2)


def predict(readings: list[dict], count: int) -> float:
    x = np.array([r["containers"] for r in readings])
    y = np.array([total(r) for r in readings])
    return np.polyval(np.polyfit(x, y, deg=1), count)


def fits(readings: list[dict], budget: float) -> tuple[int, bool]:
    limit = 2 * max(r["containers"] for r in readings)
    counts = np.arange(1, limit + 1)
    count = np.sum(predict(readings, counts) <= budget)
    return count, count == limit
