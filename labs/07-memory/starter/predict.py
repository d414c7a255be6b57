"""How much memory do so many containers take, and how many fit?

A reading is what `boxlab readings` gives for a number of containers; look at one. Sizes in it are bytes.
Readings come in any order, and a number of containers may be among them twice.
"""

MIB = 1 << 20


def total(reading: dict) -> float:
    """What the containers of one reading take together, with all that runs for their sake, in MiB."""
    return sum(process["rss"] for process in reading["processes"]) / MIB


def predict(readings: list[dict], count: int) -> float:
    """What `count` containers would take together, in MiB, if they go on as those of the readings do."""
    last = readings[-1]
    return total(last) / last["containers"] * count


def fits(readings: list[dict], budget: float) -> tuple[int, bool]:
    """How many containers `budget` MiB hold.

    Returns:
        count: how many; never more than twice the most that the readings have, as nobody has looked further.
        at_least: whether it has come to that limit, so that more may fit.

    So `(6, False)` says "six", and `(8, True)` says "at least eight".
    """
    return round(budget / predict(readings, 1)), False
