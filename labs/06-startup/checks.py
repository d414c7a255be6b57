"""Lab 06: bench.py measures boxes that starter/play.py plays, so that all its figures are known and take no time."""

import json
import random
import runpy
import secrets
import statistics
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from boxlab.labs import Mismatch, Work, check

PLAY = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("starter") / "play.py")))

EXACT_S = 0.002
"""How far a figure may be from what was played: the played clock does not move while the benchmark computes."""

MISSING = object()
"""In place of a figure that the summary does not have."""

QUARTILES = ("inverted_cdf", "hazen", "weibull", "linear", "lower", "higher", "midpoint", "median_unbiased")
"""Definitions of a quartile that are in use; which one is taken does not matter here."""

REHEARSE = "`python3 play.py` in your folder shows what your benchmark says of boxes whose times are known"


def answer(work: Work, request: dict):
    """What bench.py makes of a request, and nothing that it prints by itself."""
    mark = secrets.token_hex(8)
    ran = work.run(
        ["python", "play.py", "--answer"],
        input=json.dumps(request | {"mark": mark}),
        memory_mib=4096,
        output_kib=2048,
        next=REHEARSE,
    )
    _, found, data = ran.output.rpartition(mark)
    if not found or ran.status:
        raise Mismatch(
            "bench.py can be imported, and `measure` and `summary` return",
            f"it ended with status {ran.status}:\n{ran.shown}",
            "a benchmark that breaks off has measured nothing",
            REHEARSE,
        )
    return json.loads(data)


def played(work: Work, boxes: dict, rounds: int, **options) -> tuple[list[dict], list[dict]]:
    """The rows that `measure` returns for a play, and the starts that were played."""
    found = answer(work, {"play": PLAY.play_of(boxes, rounds, **options)})
    if found["trouble"]:
        raise Mismatch(
            "`measure` returns its rows",
            found["trouble"].strip(),
            "what never comes must not be waited for, and one bad start must not take the others with it",
            REHEARSE,
        )
    rows = found["rows"]
    if not isinstance(rows, list) or not all(map(is_row, rows)):
        raise Mismatch(
            "a list of rows, each a dictionary with box, round (a whole number), seconds (a number or None) and error",
            repr(rows)[:300],
            "who wants to check your conclusion needs every single start",
            "the docstring of `measure` says what it returns",
        )
    return rows, found["starts"]


def is_row(row) -> bool:
    """Whether it has what a row has, each of its type."""
    return (
        isinstance(row, dict)
        and {"box", "round", "seconds", "error"} <= row.keys()
        and isinstance(row["round"], int)
        and isinstance(row["seconds"], (int, float, type(None)))
    )


def a_row_each(rows: list[dict], starts: list[dict], why: str, next: str) -> list[tuple[dict, dict]]:
    """Each row with the start that it is about."""
    if len(rows) != len(starts):
        raise Mismatch(f"a row for each of {len(starts)} starts", f"{len(rows)} rows", why, next)
    for number, (row, start) in enumerate(zip(rows, starts), 1):
        if row["box"] != start["box"]:
            raise Mismatch(
                f"the rows in the order of the starts: row {number} is of {start['box']}",
                f"it is of {row['box']}",
                "who looks for a drift, or for what one box leaves to the next, has to see what followed what",
                "add each row when its start is over, and sort nothing",
            )
    return list(zip(rows, starts))


def true(row: dict, start: dict) -> bool:
    """Whether a row says what was played; a start that never was ready has no time."""
    if start["ready"] is None:
        return row["seconds"] is None
    took = start["ready"] - start["called"]
    return row["seconds"] is not None and abs(row["seconds"] - took) <= EXACT_S


BOXES = 3
"""How many boxes a play has, unless it says otherwise."""


def cast(rounds: int, count: int = BOXES) -> dict[str, list[dict]]:
    """Boxes of names and speeds never seen before, with a script for each start; the first ones are cold, and slow."""
    names = random.sample([f"box-{letter}" for letter in "abcdefghjkmn"], count)
    boxes = {}
    for name in names:
        usual = random.uniform(0.2, 2.0)
        boxes[name] = [PLAY.script(usual * random.uniform(0.95, 1.05)) for _ in range(rounds + 1)]
        boxes[name][0] = PLAY.script(usual * 4)
    return boxes


@cache
def usual(work: Work) -> tuple[list[dict], list[dict], int]:
    """A play in which nothing goes wrong: rows, starts, rounds."""
    rounds = random.randint(7, 12)
    return *played(work, cast(rounds), rounds), rounds


@check(points=1)
def runs(work: Work) -> None:
    """Each box is started once in a round that warms up and in each round that counts, and each start has its row."""
    rows, starts, rounds = usual(work)
    why = "the first start finds caches empty, and n is fixed before anyone has seen a result"
    next = "round 0 and then `rounds` more, each box once in each, one row for each start"
    a_row_each(rows, starts, why, next)
    if len(starts) != BOXES * (rounds + 1):
        raise Mismatch(f"{BOXES * (rounds + 1)} starts of {BOXES} boxes", f"{len(starts)} starts", why, next)
    for name in {start["box"] for start in starts}:
        numbers = sorted(row["round"] for row in rows if row["box"] == name)
        if numbers != list(range(rounds + 1)):
            raise Mismatch(f"rounds 0 to {rounds} of {name}, each once", f"rounds {numbers}", why, next)


@check(points=2, needs=[runs])
def ready(work: Work) -> None:
    """A time is that from the call to the arrival of the first useful output."""
    rows, starts, _ = usual(work)
    for row, start in zip(rows, starts):
        if not true(row, start):
            took = start["ready"] - start["called"]
            said = row["seconds"]
            raise Mismatch(
                f"{took:.3f} s for {row['box']} in round {row['round']}",
                f"no time: {row['error']}" if said is None else f"{said:.3f} s",
                "that the call has returned does not mean that the box can answer; when it ends is another question",
                "read the monotonic clock before the call, then wait with `line` for the first line that begins with "
                f"{PLAY.READY!r}, and read it again",
            )


@check(points=1, needs=[ready])
def clock(work: Work) -> None:
    """Somebody sets the machine's clock while the benchmark runs, and no time changes."""
    rows, starts = played(work, cast(8), 8, jumps=True)
    for row, start in zip(rows, starts):
        if not true(row, start):
            raise Mismatch(
                f"{start['ready'] - start['called']:.3f} s for {row['box']}",
                f"{row['seconds']} s" if row["seconds"] is not None else f"no time: {row['error']}",
                "the time of day is set, by people and by other machines, forwards and back",
                "look in the documentation of the module `time` for a clock that cannot go backwards",
            )


@check(points=1, needs=[runs])
def mixed(work: Work) -> None:
    """Round follows round, each in another order, so that a drift of the machine falls on no box alone."""
    rounds = 9
    boxes = cast(rounds)
    first, twin, *_ = boxes
    boxes[twin] = boxes[first]
    rows, starts = played(work, boxes, rounds, drift=0.1)
    names = [start["box"] for start in starts]
    orders = [tuple(names[i : i + len(boxes)]) for i in range(0, len(names), len(boxes))]
    next = "the loop over rounds outside, the loop over boxes inside, and the boxes in an order drawn anew each time"
    if any(set(order) != set(boxes) for order in orders):
        times = {box: [r["seconds"] for r in rows if r["box"] == box and r["seconds"]] for box in (first, twin)}
        ratio = statistics.median(times[twin] or [1]) / statistics.median(times[first] or [1])
        raise Mismatch(
            "each box once, before any box is started again",
            f"{', '.join(names[:5])}, …; {first} and {twin} were the same box on a machine that grows slower, and "
            f"your medians say that one takes {max(ratio, 1 / ratio):.1f} times as long",
            "a machine drifts: it warms up, other programs come and go; in blocks, that falls on one box",
            next,
        )
    if len(set(orders)) == 1:
        raise Mismatch(
            "not the same order in all rounds",
            f"{', '.join(orders[0])} in each of {len(orders)} rounds",
            "what one box leaves behind then always falls on the same neighbour",
            next,
        )


@check(points=1, needs=[ready])
def keeps(work: Work) -> None:
    """A start that is far slower than the others is kept as it is: not left out, and not tried again."""
    rounds = random.randint(8, 12)
    boxes = cast(rounds)
    slow = random.choice(list(boxes))
    boxes[slow][random.randint(2, rounds)] = PLAY.script(random.uniform(15, 20))
    rows, starts = played(work, boxes, rounds)
    why = "the slow starts are what somebody has to wait for; who deletes them measures a machine that does not exist"
    next = "return every start, and leave it to the summary how to speak of the slow one"
    if len(starts) > len(boxes) * (rounds + 1):
        expected = f"{len(boxes) * (rounds + 1)} starts"
        raise Mismatch(expected, f"{len(starts)}: some were tried again", why, next)
    for row, start in a_row_each(rows, starts, why, next):
        if not true(row, start):
            expected = f"{start['ready'] - start['called']:.3f} s for {row['box']} in round {row['round']}"
            raise Mismatch(expected, f"{row['seconds']} s", why, next)


@check(points=2, needs=[ready])
def failures(work: Work) -> None:
    """A start that hangs, ends, or is late is a failure at the deadline, without a time."""
    rounds, deadline = random.randint(6, 9), random.uniform(20, 40)
    boxes = cast(rounds, 4)
    chatty = PLAY.hangs() | {"lines": [[second, "workload: started"] for second in range(1, 300)]}
    ended = PLAY.hangs() | {"ends": 0.8}
    late = PLAY.script(deadline * 1.2, called=0.1)
    for scripts, bad in zip(boxes.values(), (PLAY.hangs(), chatty, ended, late)):
        scripts[random.randint(1, rounds)] = bad
    rows, starts = played(work, boxes, rounds, deadline=deadline)
    why = "it did not take so long, it did not start: another deadline would have given another figure"
    next = (
        "a row with seconds None and the reason as error; the deadline is the whole start's, and there is no second try"
    )
    for row, start in a_row_each(rows, starts, why, next):
        failed = start["ready"] is None or start["ready"] - start["called"] > deadline
        given_up = (start["stopped"] or start["called"]) - start["called"]
        if failed and given_up > deadline + 1:
            actual = f"after {given_up:.1f} s"
            raise Mismatch(f"a start that is not ready is given up after {deadline:.1f} s", actual, why, next)
        if failed and not (row["seconds"] is None and row["error"]):
            expected = "no seconds, and an error, for a start that failed"
            raise Mismatch(expected, f"seconds {row['seconds']}, error {row['error']!r}", why, next)
        if not failed and not (true(row, start) and row["error"] is None):
            expected = f"{start['ready'] - start['called']:.3f} s, and error None, for a start that succeeded"
            next = "a row with its seconds, and with error None"
            raise Mismatch(expected, f"seconds {row['seconds']}, error {row['error']!r}", why, next)
    if len(starts) != len(boxes) * (rounds + 1):
        expected = f"{len(boxes) * (rounds + 1)} starts"
        raise Mismatch(expected, f"{len(starts)}: what failed was tried again", why, next)


@check(points=1, needs=[runs])
def nothing_left(work: Work) -> None:
    """A box is stopped before the next one starts, also when it failed, and when somebody presses Ctrl-C."""
    boxes = cast(6)
    next(iter(boxes.values()))[3] = PLAY.hangs()
    interrupted = random.randint(4, 9)
    for when, interrupt in {"a box hangs": None, f"Ctrl-C comes in start {interrupted + 1}": interrupted}.items():
        starts = answer(work, {"play": PLAY.play_of(boxes, 6, interrupt=interrupt)})["starts"]
        left = sum(start["stopped"] is None for start in starts)
        crowded = sum(start["running"] > 0 for start in starts)
        if left or crowded:
            raise Mismatch(
                "no other box runs while one starts, and none in the end",
                f"when {when}, {left} of {len(starts)} stay, and {crowded} were started beside another",
                "what stays behind takes memory and processor from what is measured next, and from everybody else",
                "`try: … finally: box.stop()` around all that happens once the box exists",
            )

        if not starts[-1]["interrupted"] and any(start["interrupted"] for start in starts):
            raise Mismatch(
                "Ctrl-C ends the benchmark",
                "more boxes were started after it",
                "who presses Ctrl-C wants the machine back",
                "let KeyboardInterrupt pass: no `except:` without the name of what it is for",
            )


@check(points=1)
def summary(work: Work) -> None:
    """The summary has a median and quartiles of the starts that count, the slowest of them, and how many failed."""
    rows, expected = [], {}
    for name, n in zip(cast(1), (random.randint(10, 15), 1, 0)):
        slowest = [random.uniform(8, 12)] if n else []
        times = [*(random.uniform(0.9, 1.2) for _ in range(n - 1)), *slowest]
        failed = random.randint(1, 3)
        outcomes = random.sample([*times, *[None] * failed], len(times) + failed)
        warm_up = random.uniform(4, 6) if n else None
        rows += [
            {"box": name, "round": number, "seconds": seconds, "error": None if seconds else "not ready within 30 s"}
            for number, seconds in enumerate([warm_up, *outcomes])
        ]
        expected[name] = (times, failed + (warm_up is None))
    random.shuffle(rows)
    found = answer(work, {"rows": rows})
    for name, (times, failed) in expected.items():
        bounds = {"n": (len(times), len(times)), "failed": (failed, failed)}
        for figure, share in {"low": 0.25, "median": 0.5, "high": 0.75, "slowest": 1}.items():
            methods = QUARTILES if share in (0.25, 0.75) else ("linear",)
            all_of_them = [float(np.quantile(times, share, method=method)) for method in methods] if times else [None]
            bounds[figure] = (min(all_of_them), max(all_of_them)) if times else (None, None)
        for figure, (least, most) in bounds.items():
            facts = found.get(name) if isinstance(found, dict) else found
            said = facts.get(figure, MISSING) if isinstance(facts, dict) else facts
            if said is None or least is None:
                right = said is least
            else:
                right = isinstance(said, (int, float)) and least - 1e-6 <= said <= most + 1e-6
            if not right:
                raise Mismatch(
                    f"{figure} of {len(times)} starts that count and {failed} that failed: {_shown(least)}",
                    _shown(said),
                    "one slow start moves a mean, and not a median; the quartiles and the slowest show how far the "
                    "starts lie apart; what warms up and what failed has no place among them",
                    "the docstring of `summary` says what each figure is; times are those that count, failures all of them",
                )


def _shown(value) -> str:
    if value is MISSING:
        return "there is no such key"
    return f"{value:.3f}" if isinstance(value, float) else repr(value)
