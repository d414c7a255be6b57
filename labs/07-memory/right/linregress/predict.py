"""The line is scipy's."""

import math

from scipy.stats import linregress


def total(reading):
    return sum(p["pss"] for p in reading["processes"]) / 2**20


def fit(readings):
    return linregress([r["containers"] for r in readings], [total(r) for r in readings])


def predict(readings, count):
    found = fit(readings)
    return found.intercept + found.slope * count


def fits(readings, budget):
    found = fit(readings)
    most = 2 * max(r["containers"] for r in readings)
    count = math.floor((budget - found.intercept) / found.slope)
    if count >= most:
        return most, True
    return max(count, 0), False
