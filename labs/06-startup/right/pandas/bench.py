"""The rows are a table, and the summary is one by groups."""

import random
import time
from contextlib import contextmanager

import pandas as pd


@contextmanager
def running(start):
    box = start()
    try:
        yield box
    finally:
        box.stop()


def first_useful(box, until: float) -> bool:
    while (line := box.line(max(0, until - time.monotonic()))) is not None:
        if line == "":
            raise EOFError("the box has ended")
        if line.startswith("workload: ready"):
            return True
    raise TimeoutError("the deadline is over")


def measure(boxes: dict, rounds: int = 10, deadline: float = 30.0) -> list[dict]:
    table = []
    for number in range(rounds + 1):
        names = list(boxes)
        random.shuffle(names)
        for name in names:
            began, seconds, error = time.monotonic(), None, None
            try:
                with running(boxes[name]) as box:
                    first_useful(box, began + deadline)
                    seconds = time.monotonic() - began
            except (EOFError, TimeoutError) as reason:
                error = str(reason)
            table.append((name, number, seconds, error))
    frame = pd.DataFrame(table, columns=["box", "round", "seconds", "error"]).astype(object)
    return frame.where(frame.notna(), None).to_dict("records")


def summary(rows: list[dict]) -> dict[str, dict]:
    frame = pd.DataFrame(rows)
    frame["seconds"] = pd.to_numeric(frame["seconds"])
    failed = frame["seconds"].isna().groupby(frame["box"]).sum()
    counted = frame[frame["round"] > 0].groupby("box")["seconds"]
    table = pd.DataFrame(
        {
            "n": counted.count(),
            "failed": failed,
            "median": counted.median(),
            "low": counted.quantile(0.25),
            "high": counted.quantile(0.75),
            "slowest": counted.max(),
        }
    ).astype(object)
    return table.where(table.notna(), None).to_dict("index")
