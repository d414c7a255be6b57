"""Lab 07: predict.py is given readings of 1, 2 and 4 containers and asked about 6, 7 and 8, which are then run and measured;
and readings of machines that are only pretended, so that there are many of them, and each scatters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np
from scipy.special import stdtrit  # scipy.stats takes a second and more to import

from boxlab.labs import BoxlabError, Mismatch, Work, _, check, several

MIB = 1 << 20

SEEN, UNSEEN = (1, 2, 4), (6, 7, 8)
"""How many containers the learner's readings are of, and how many are run to judge."""

CONFIDENCE = 0.95
"""Of the interval for one reading more."""

LEAST, MOST = 0.03, 0.06
"""A prediction may always be off by this share; and where the readings allow more than that, they are no use."""

TRIES = 3
"""How often it is measured, where not even the right line through the readings meets what is measured then."""

COUNTS = ((1, 2, 4), (1, 3, 5), (2, 3, 6))
"""How many containers ran on machines that are pretended, two of each in a check.

They are drawn so wide, and scatter so much, that a wrong model slips through less than once in a hundred checks: ten per cent
more or less, through the origin, in proportion to the largest reading, without what is shared, from two readings, from one of each number, or any
line that was written down beforehand. `tests/unit/test_lab_memory.py` counts it, here and for what is measured.
"""

SCATTER = 0.05
"""By which share of what twice the most containers take a pretended reading is off, one up and one down for each number."""

BENT = {1: 0.04, 3: -0.08, 5: 0.04}
"""How many containers ran on further machines, and by which share of what twice the most take both readings of that number are off.

So a line through the means of two numbers is wrong, while the one of least squares through all readings is as it would be.
"""

REHEARSE = _(
    "`.venv/bin/python work/07-memory/rehearse.py` and the file of your readings show what you say beside what was measured: the lab's page says how"
)


@cache
def measured(work: Work) -> tuple[list[dict], list[dict]]:
    """Readings of few containers, twice and in any order, and of more; each takes an amount never seen before.

    Their number goes up and down again, so that what drifts meanwhile falls on no number alone. What is shared is at least what each has of its
    own, so that who leaves it out, or counts it for each, is off by more than `MOST` for eight.

    Containers of others that come and go share the interpreter and the shim's program with ours, some 14 MiB; what ours
    have of their own, and share among themselves alone, is so much more that this seldom matters.

    Raises:
        BoxlabError: not even the right line through the few says what the more take.
    """
    own, shared = amounts(work.random)
    for _trial in range(TRIES):
        readings = work.readings([*SEEN, *UNSEEN, *reversed(SEEN)], own, shared)
        few, more = ([r for r in readings if r["containers"] in counts] for counts in (SEEN, UNSEEN))
        line = Line.through(few)
        if all(abs(line.at(r["containers"]) - truth(r)) <= tolerance(few, r) <= MOST * truth(r) for r in more):
            work.random.shuffle(few)
            return few, more
    raise BoxlabError(
        _("the machine is too restless: containers of others come and go, and share memory with ours"),
        _("check again when it is quieter"),
    )


def amounts(random: Random) -> tuple[int, int]:
    """What each container has of its own, and what all share, in MiB."""
    own = random.randint(40, 80)
    return own, own + random.randint(0, own // 2)


def truth(reading: dict) -> float:
    """What the processes of a reading take together, in MiB, each page counted once."""
    return sum(process["pss"] for process in reading["processes"]) / MIB


@dataclass(frozen=True)
class Line:
    """What one more takes and what all share, in MiB."""

    slope: float
    intercept: float

    @classmethod
    def through(cls, readings: list[dict]) -> "Line":
        """The line of least squares."""
        return cls(*np.polyfit([r["containers"] for r in readings], [truth(r) for r in readings], 1))

    def at(self, count: float) -> float:
        return self.intercept + self.slope * count


def tolerance(readings: list[dict], further: dict) -> float:
    """By how many MiB a prediction of a further reading may be off: Student's interval for one, or `LEAST` if more."""
    counts = np.array([reading["containers"] for reading in readings])
    line, n = Line.through(readings), len(readings)
    residuals = np.array([truth(reading) - line.at(reading["containers"]) for reading in readings])
    away = (further["containers"] - counts.mean()) ** 2 / ((counts - counts.mean()) ** 2).sum()
    error = math.sqrt((residuals**2).sum() / (n - 2) * (1 + 1 / n + away))
    return max(float(stdtrit(n - 2, (1 + CONFIDENCE) / 2)) * error, LEAST * truth(further))


@dataclass(frozen=True)
class Machine:
    """One that is only pretended: its readings scatter about a line that is known.

    Attributes:
        most: how many containers ran at most.
        readings: in any order.
    """

    line: Line
    most: int
    readings: list[dict]

    @property
    def limit(self) -> int:
        """Beyond it nobody has looked."""
        return 2 * self.most


def pretended(random: Random) -> list[Machine]:
    """Machines whose containers take from 5 to 500 MiB each, and share once to four times as much."""
    return [_machine(random, counts) for counts in COUNTS * 2]


def bent(random: Random) -> list[Machine]:
    """Two such machines whose readings are off together, by the number of containers."""
    signs = (random.choice((-1, 1)) for _number in range(2))
    return [_machine(random, tuple(BENT), [sign * share for share in BENT.values()]) for sign in signs]


def _machine(random: Random, counts: tuple[int, ...], bend: Sequence[float] = (0, 0, 0)) -> Machine:
    slope = 5 * 100 ** random.random()
    line = Line(slope, slope * random.uniform(1, 4))
    whole = line.at(2 * max(counts))
    readings = [
        _reading(count, line.at(count) + (share + by) * whole)
        for count, share in zip(counts, bend)
        for by in (SCATTER, -SCATTER)
    ]
    random.shuffle(readings)
    return Machine(line, max(counts), readings)


def _reading(count: int, mib: float) -> dict:
    """A reading of so many containers that take so much together; other figures are off as they are where it is measured."""
    each = round(mib * MIB / count)
    shim = each // 12
    parts = {"python3": ("application", each - shim), "containerd-shim": ("shim", shim)}
    processes = [
        {"name": name, "role": role, "rss": pss * 2, "pss": pss, "uss": pss * 3 // 4}
        for name, (role, pss) in parts.items()
        for number in range(count)
    ]
    available = 1 << 40
    return {
        "containers": count,
        "processes": processes,
        "docker_stats": [each * 4 // 5] * count,
        "available_before": available,
        "available": available - round(mib * MIB * 1.2),
    }


def ask(work: Work, *calls: tuple) -> list:
    """What predict.py says to calls, each a function's name and its arguments."""
    return work.call("predict", *calls, next=REHEARSE, seconds=20)


def is_number(value) -> bool:
    """Whether it can be calculated with: an integer may be too large for that."""
    return isinstance(value, (int, float)) and abs(value) < 1e18


def known_mistakes(reading: dict) -> dict[str, float]:
    """Figures that are often taken for what containers take together, in MiB."""
    processes = reading["processes"]
    return {
        _("the sum of resident sets"): sum(p["rss"] for p in processes) / MIB,
        _("the sum of unique sets"): sum(p["uss"] for p in processes) / MIB,
        _("the sum of what `docker stats` shows"): sum(reading["docker_stats"]) / MIB,
        _("by how much the machine's available memory fell"): (reading["available_before"] - reading["available"])
        / MIB,
        _("the application's share alone"): sum(p["pss"] for p in processes if p["role"] == "application") / MIB,
        _("right, but in units of a million bytes"): truth(reading) * MIB / 1e6,
        _("right, but in bytes"): truth(reading) * MIB,
    }


@check(points=3)
def counts_once(work: Work) -> None:
    """What containers take together is counted in full, and nothing twice."""
    few, more = measured(work)
    readings = sorted([*few, *more], key=lambda reading: -reading["containers"])  # the largest is furthest off
    for reading, said in zip(readings, ask(work, *(("total", reading) for reading in readings))):
        right = truth(reading)
        if not is_number(said) or abs(said / right - 1) > 0.005:
            seems = [
                name
                for name, value in known_mistakes(reading).items()
                if is_number(said) and math.isclose(said, value, rel_tol=1e-4)
            ]
            raise Mismatch(
                several(
                    "{size:.1f} MiB for {count} container",
                    "{size:.1f} MiB for {count} containers",
                    reading["containers"],
                    size=right,
                ),
                ": ".join([_mib(said), *seems]),
                _(
                    "a page that several processes share is in memory once; the shim runs for the container's sake as "
                    "well; what is free, or shown as used, moves with the page cache and with all other programs"
                ),
                _(
                    "which of {rss}, {pss} and {uss} may be added up? Add it over all processes; 1 MiB is 2**20 bytes",
                    rss="rss",
                    pss="pss",
                    uss="uss",
                ),
            )


@check(points=2, needs=[counts_once])
def predicts(work: Work) -> None:
    """From readings of 1, 2 and 4 containers it says what 6, 7 and 8 take, which are then run."""
    readings, more = measured(work)
    for reading, said in zip(more, ask(work, *(("predict", readings, reading["containers"]) for reading in more))):
        right, allowed = truth(reading), tolerance(readings, reading)
        if not is_number(said) or abs(said - right) > allowed:
            raise Mismatch(
                several(
                    "{size:.1f} MiB for {count} container, as measured, give or take {allowed:.1f}",
                    "{size:.1f} MiB for {count} containers, as measured, give or take {allowed:.1f}",
                    reading["containers"],
                    size=right,
                    allowed=allowed,
                ),
                _mib(said),
                _("some of what one container takes is there only once, whatever their number"),
                _(
                    "one more costs the slope of a line through all readings; what they share is its intercept: use both"
                ),
            )


@check(points=1, needs=[predicts])
def uses_all(work: Work) -> None:
    """Where readings scatter, as on a busier machine, it uses all of them."""
    machines = [*pretended(work.random), *bent(work.random)]
    asked = [(machine, count) for machine in machines for count in (machine.limit - 1, machine.limit)]
    answers = ask(work, *(("predict", machine.readings, count) for machine, count in asked))
    for (machine, count), said in zip(asked, answers):
        right = machine.line.at(count)
        if not is_number(said) or abs(said - right) > LEAST * right:
            raise Mismatch(
                several(
                    "{size:.1f} MiB for {count} container of readings that scatter, give or take {allowed:.1f}",
                    "{size:.1f} MiB for {count} containers of readings that scatter, give or take {allowed:.1f}",
                    count,
                    size=right,
                    allowed=LEAST * right,
                ),
                _mib(said),
                _(
                    "each reading has its error, and two of them together say little about a third; in many, errors cancel "
                    "out"
                ),
                _(
                    "readings come in any order, and a number of containers may be there twice: let all of them have a say "
                    "in the line"
                ),
            )


@check(points=2, needs=[uses_all])
def holds(work: Work) -> None:
    """It says how many a budget holds, and does not promise one that does not fit."""
    asked = []
    for machine in pretended(work.random):
        counts = (machine.limit - 1, work.random.randint(machine.most, machine.limit - 2))
        asked += [(machine, count, machine.line.at(count + share)) for count in counts for share in (0.35, 0.65)]
        asked += [(machine, 0, machine.line.at(0) / 4), (machine, 0, machine.line.at(0.6))]
    answers = ask(work, *(("fits", machine.readings, budget) for machine, count, budget in asked))
    for (_machine, count, budget), said in zip(asked, answers):
        if said != [count, False]:
            pair = f"({count}, False)"
            raise Mismatch(
                _("{pair} for {size:.1f} MiB", pair=pair, size=budget)
                if count
                else _("{pair} for {size:.1f} MiB, less than one takes", pair=pair, size=budget),
                _pair(said),
                _(
                    "half a container cannot be started, and the one that does not fit is killed; a number within what the "
                    "readings let us see is no mere bound"
                ),
                _("how far is it from the intercept to the budget, in steps of the slope? Whole steps, or none"),
            )


@check(points=2, needs=[holds])
def says_at_least(work: Work) -> None:
    """Beyond twice what was measured it says *at least*, and no number that nobody has seen."""
    machines = pretended(work.random)
    asked = [(m, m.line.at(m.limit) * work.random.randint(20, 200)) for m in machines]
    asked += [(m, m.line.at(m.limit + 0.4)) for m in machines]
    for (machine, budget), said in zip(asked, ask(work, *(("fits", m.readings, budget) for m, budget in asked))):
        if said != [machine.limit, True]:
            raise Mismatch(
                several(
                    "{pair} for {size:.0f} MiB, from readings of up to {count} container",
                    "{pair} for {size:.0f} MiB, from readings of up to {count} containers",
                    machine.most,
                    pair=f"({machine.limit}, True)",
                    size=budget,
                ),
                _pair(said),
                _(
                    "there is no reason why hundreds of containers should follow the line of a few: the engine, the process "
                    "ids and the network have limits of their own"
                ),
                _(
                    "at most twice the largest number among the readings, and {yes} where that is why it is not more",
                    yes="True",
                ),
            )


def _mib(said) -> str:
    return _("{size:.1f} MiB", size=said) if is_number(said) else repr(said)


def _pair(said) -> str:
    return f"({', '.join(map(repr, said))})" if isinstance(said, list) else repr(said)
