"""A table of all processes; the line goes through the mean of each number of containers."""

import pandas as pd
from scipy import stats


def table(readings: list[dict]) -> pd.DataFrame:
    frame = pd.json_normalize(
        [{**reading, "reading": number} for number, reading in enumerate(readings)],
        record_path="processes",
        meta=["reading", "containers"],
    )
    return frame.groupby(["containers", "reading"])["pss"].sum().div(2**20).reset_index()


def total(reading: dict) -> float:
    return table([reading])["pss"].iloc[0]


def line(readings: list[dict]):
    means = table(readings).groupby("containers")["pss"].mean()
    return stats.linregress(means.index.astype(float), means)


def predict(readings: list[dict], count: int) -> float:
    found = line(readings)
    return found.slope * count + found.intercept


def fits(readings: list[dict], budget: float) -> tuple[int, bool]:
    found = line(readings)
    limit = 2 * max(reading["containers"] for reading in readings)
    count = int(max(0, (budget - found.intercept) // found.slope))
    return (limit, True) if count >= limit else (count, False)
