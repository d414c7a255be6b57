"""Lab 07: predict.py is given readings of 1, 2 and 4 containers and asked about 8, which are then run and measured."""

import json
import math
import random
import runpy
import secrets
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy.stats import t as student_t

from boxlab import stats
from boxlab.errors import BoxlabError
from boxlab.labs import Mismatch, Work, check

MEASURE = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("starter") / "measure.py")))
MIB = 1 << 20

SEEN, UNSEEN = (1, 2, 4), (6, 7, 8)
"""How many containers the learner's readings are of, and how many are run to judge."""

LEAST, MOST = 0.03, 0.06
"""A prediction may always be off by this share; and where the readings allow more than that, they are no use."""

TRIES = 3
"""How often it is measured, where not even the right line through the readings meets what is measured then."""

ASK = """
import json, sys
sys.tracebacklimit = 2
import predict
request = json.loads(sys.stdin.read())
answers = [getattr(predict, name)(*arguments) for name, *arguments in request["calls"]]
print("\\n" + request["mark"] + json.dumps(answers, default=float))
"""

REHEARSE = "`.venv/bin/python work/07-memory/measure.py` shows what you say beside what is measured"


@cache
def measured() -> tuple[list[dict], list[dict]]:
    """Readings of few containers, twice, and of more; each takes an amount never seen before.

    Their number goes up and down again, so that what drifts meanwhile falls on no number alone.

    Containers of others that come and go share the interpreter and the shim's program with ours, some 14 MiB; what ours
    have of their own, and share among themselves alone, is so much more that this seldom matters.

    Raises:
        BoxlabError: not even the right line through the few says what the more take.
    """
    own, shared = random.randint(48, 72), random.randint(48, 60)
    for _ in range(TRIES):
        readings = MEASURE.measure([*SEEN, *UNSEEN, *reversed(SEEN)], own, shared)
        few, more = ([r for r in readings if r["containers"] in counts] for counts in (SEEN, UNSEEN))
        if all(abs(on_line(few, r["containers"]) - truth(r)) <= tolerance(few, r) <= MOST * truth(r) for r in more):
            return few, more
    raise BoxlabError(
        "the machine is too restless: containers of others come and go, and share memory with ours",
        "check again when it is quieter",
    )


def truth(reading: dict) -> float:
    """What the processes of a reading take together, in MiB, each page counted once."""
    return sum(process["pss"] for process in reading["processes"]) / MIB


def line(readings: list[dict]) -> stats.Line:
    """The line through readings: MiB over the number of containers."""
    return stats.line([reading["containers"] for reading in readings], [truth(reading) for reading in readings])


def on_line(readings: list[dict], count: float) -> float:
    """What the line says for so many containers, in MiB."""
    return line(readings).intercept.value + line(readings).slope.value * count


def tolerance(readings: list[dict], further: dict) -> float:
    """By how many MiB a prediction of a further reading may be off: Student's interval for one, or `LEAST` if more."""
    counts = np.array([reading["containers"] for reading in readings])
    n, residuals = len(counts), line(readings).residuals
    away = (further["containers"] - counts.mean()) ** 2 / ((counts - counts.mean()) ** 2).sum()
    error = math.sqrt((residuals**2).sum() / (n - 2) * (1 + 1 / n + away))
    return max(float(student_t.ppf((1 + stats.CONFIDENCE) / 2, n - 2)) * error, LEAST * truth(further))


def answers(work: Work, *calls: tuple) -> list:
    """What predict.py says to calls, each a function's name and its arguments."""
    mark = secrets.token_hex(8)
    request = json.dumps({"calls": calls, "mark": mark})
    program = ["python", "-c", ASK]
    ran = work.run(program, input=request, seconds=20, memory_mib=4096, name=f"`{calls[0][0]}`", next=REHEARSE)
    _, found, data = ran.output.rpartition(mark)
    if not found or ran.status:
        raise Mismatch(
            f"predict.py can be imported, and `{calls[0][0]}` returns",
            f"it ended with status {ran.status}:\n{ran.shown}",
            "no answer, nothing to judge",
            REHEARSE,
        )
    return json.loads(data)


def is_number(value) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def known_mistakes(reading: dict) -> dict[str, float]:
    """Figures that are often taken for what containers take together, in MiB."""
    processes = reading["processes"]
    return {
        "the sum of resident sets": sum(p["rss"] for p in processes) / MIB,
        "the sum of unique sets": sum(p["uss"] for p in processes) / MIB,
        "the sum of what `docker stats` shows": sum(reading["docker_stats"]) / MIB,
        "by how much the machine's available memory fell": (reading["available_before"] - reading["available"]) / MIB,
        "the application's share alone": sum(p["pss"] for p in processes if p["role"] == "application") / MIB,
        "right, but in units of a million bytes": truth(reading) * MIB / 1e6,
        "right, but in bytes": truth(reading) * MIB,
    }


@check(points=3, timeout=400)
def counts_once(work: Work) -> None:
    """What containers take together is counted in full, and nothing twice."""
    few, more = measured()
    readings = sorted([*few, *more], key=lambda reading: -reading["containers"])  # the largest is furthest off
    for reading, said in zip(readings, answers(work, *(("total", reading) for reading in readings))):
        right = truth(reading)
        if not is_number(said) or abs(said / right - 1) > 0.005:
            seems = [
                name
                for name, value in known_mistakes(reading).items()
                if is_number(said) and math.isclose(said, value, rel_tol=1e-4)
            ]
            raise Mismatch(
                f"{right:.1f} MiB for {_containers(reading)}",
                (f"{said:.1f} MiB" if is_number(said) else repr(said)) + "".join(f": {name}" for name in seems),
                "a page that several processes share is in memory once; the shim runs for the container's sake as "
                "well; what is free, or shown as used, moves with the page cache and with all other programs",
                "which of rss, pss and uss may be added up? Add it over all processes; 1 MiB is 2**20 bytes",
            )


@check(points=3, needs=[counts_once])
def predicts(work: Work) -> None:
    """From readings of 1, 2 and 4 containers it says what 6, 7 and 8 take, which are then run."""
    readings, more = measured()
    calls = [("predict", readings, reading["containers"]) for reading in more]
    for reading, said in zip(more, answers(work, *calls)):
        right, allowed = truth(reading), tolerance(readings, reading)
        if not is_number(said) or abs(said - right) > allowed:
            raise Mismatch(
                f"{right:.1f} MiB for {_containers(reading)}, as measured, give or take {allowed:.1f}",
                f"{said:.1f} MiB" if is_number(said) else repr(said),
                "some of what one container takes is there only once, whatever their number",
                "one more costs the slope of a line through all readings; what they share is its intercept: use both",
            )


@check(points=2, needs=[predicts])
def holds(work: Work) -> None:
    """It says how many a budget holds, and does not promise one that does not fit."""
    readings, _ = measured()
    count = random.randint(5, 7)
    asked = [(count, on_line(readings, count + share)) for share in (0.35, 0.65)] + [(0, on_line(readings, 0) / 4)]
    for (count, budget), said in zip(asked, answers(work, *(("fits", readings, budget) for _, budget in asked))):
        if said != [count, False]:
            raise Mismatch(
                f"({count}, False) for {budget:.1f} MiB" + ("" if count else ", less than one takes"),
                _pair(said),
                "half a container cannot be started, and the one that does not fit is killed; a number within what the "
                "readings let us see is no mere bound",
                "how far is it from the intercept to the budget, in steps of the slope? Whole steps, or none",
            )


@check(points=2, needs=[predicts])
def says_at_least(work: Work) -> None:
    """Beyond twice what was measured it says *at least*, and no number that nobody has seen."""
    readings, more = measured()
    limit = 2 * max(SEEN)
    few = [reading for reading in readings if reading["containers"] < max(SEEN)]
    budget = truth(more[-1]) * random.randint(20, 200)
    asked = [
        (limit, readings, budget),
        (2 * max(reading["containers"] for reading in few), few, budget),
        (limit, readings, on_line(readings, limit + 0.4)),
    ]
    for (most, _, budget), said in zip(asked, answers(work, *(("fits", *given) for _, *given in asked))):
        if said != [most, True]:
            raise Mismatch(
                f"({most}, True) for {budget:.0f} MiB, from readings of up to {most // 2} containers",
                _pair(said),
                "there is no reason why hundreds of containers should follow the line of four: the engine, the process "
                "ids and the network have limits of their own",
                "at most twice the largest number among the readings, and True where that is why it is not more",
            )


def _containers(reading: dict) -> str:
    count = reading["containers"]
    return f"{count} container{'s' if count > 1 else ''}"


def _pair(said) -> str:
    return f"({', '.join(map(repr, said))})" if isinstance(said, list) else repr(said)
