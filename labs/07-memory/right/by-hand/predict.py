"""Least squares without a library; counts upwards until no more fit."""

MIB = 1024 * 1024


def total(reading):
    bytes_ = 0
    for process in reading["processes"]:
        bytes_ += process["pss"]
    return bytes_ / MIB


def predict(readings, count):
    n = len(readings)
    mean_x = sum(r["containers"] for r in readings) / n
    mean_y = sum(total(r) for r in readings) / n
    above = sum((r["containers"] - mean_x) * (total(r) - mean_y) for r in readings)
    below = sum((r["containers"] - mean_x) ** 2 for r in readings)
    return mean_y + above / below * (count - mean_x)


def fits(readings, budget):
    count = 0
    limit = 2 * max(r["containers"] for r in readings)
    while count < limit and predict(readings, count + 1) <= budget:
        count += 1
    return count, count == limit
