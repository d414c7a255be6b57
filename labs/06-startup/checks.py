"""Lab 06: bench.py measures boxes whose figures are known and take no time. What is played, and the clock, stay here: see played.py."""

import runpy
import statistics
from collections import Counter
from functools import cache
from itertools import pairwise, permutations, product
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
from scipy.stats import binom

from boxlab.labs import Mismatch, Work, check

PLAY = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("starter") / "play.py")))

EXACT_S = 0.01
"""How far a figure may be from what was played: less than a stop takes, and more than is lost by who looks each 5 ms."""

MISSING = object()
"""In place of a figure that the summary does not have."""

QUARTILES = ("inverted_cdf", "hazen", "weibull", "linear", "lower", "higher", "midpoint", "median_unbiased")
"""Definitions of a quartile that are in use; which one is taken does not matter here."""

REHEARSE = "`python3 play.py` in your folder shows what your benchmark says of boxes whose times are known"

SECONDS = 60
"""How long a play may take, in which nothing is waited for."""


def perform(work: Work, play: dict) -> PLAY.Stage:
    """The stage after a play."""
    stage = PLAY.Stage(play, work.random)
    ran = work.run(
        ["python", "played.py"], serve=stage.answer, seconds=SECONDS, output_kib=2048, name="bench.py", next=REHEARSE
    )
    if not stage.over:
        raise Mismatch(
            "bench.py can be imported, and `measure` returns",
            f"it ended with status {ran.status}:\n{ran.shown}",
            "a benchmark that breaks off has measured nothing",
            REHEARSE,
        )
    return stage


def played(work: Work, boxes: dict, rounds: int, **options) -> tuple[list[dict], list[dict]]:
    """The rows that `measure` returns for a play, and the starts that were played."""
    stage = perform(work, PLAY.play_of(boxes, rounds, **options))
    if stage.trouble:
        raise Mismatch(
            "`measure` returns its rows",
            stage.trouble,
            "what never comes must not be waited for, and one bad start must not take the others with it",
            REHEARSE,
        )
    rows = stage.rows if isinstance(stage.rows, list) else [stage.rows]
    if wrong := [row for row in rows if not is_row(row)]:
        raise Mismatch(
            "a list of rows, each a dictionary with box, round (a whole number), seconds (a number or None) and error",
            repr(wrong[0])[:300],
            "who wants to check your conclusion needs every single start",
            "the docstring of `measure` says what it returns",
        )
    return rows, stage.starts


def is_row(row) -> bool:
    """Whether it has what a row has, each of its type."""
    return (
        isinstance(row, dict)
        and {"box", "round", "seconds", "error"} <= row.keys()
        and is_number(row["round"])
        and row["round"] == int(row["round"])
        and (row["seconds"] is None or is_number(row["seconds"]))
    )


def is_number(value) -> bool:
    """Whether it can be calculated with: an integer may be too large for that."""
    return isinstance(value, (int, float)) and abs(value) < 1e12


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
    if start["took"] is None:
        return row["seconds"] is None
    return row["seconds"] is not None and abs(row["seconds"] - start["took"]) <= EXACT_S


BOXES = 3
"""How many boxes a play has, unless it says otherwise."""


def cast(
    random: Random, rounds: int, count: int = BOXES, least_s: float = 0.2, most_s: float = 2.0
) -> dict[str, list[dict]]:
    """Boxes of names and speeds never seen before, with a script for each start; the first ones are cold, and slow."""
    names = random.sample([f"box-{letter}" for letter in "abcdefghjkmn"], count)
    boxes = {}
    for name in names:
        usual = random.uniform(least_s, most_s)
        boxes[name] = [PLAY.script(random, usual * random.uniform(0.95, 1.05)) for _ in range(rounds + 1)]
        boxes[name][0] = PLAY.script(random, usual * 4)
    return boxes


@cache
def usual(work: Work) -> tuple[list[dict], list[dict], int]:
    """A play in which nothing goes wrong: rows, starts, rounds."""
    rounds = work.random.randint(7, 12)
    return *played(work, cast(work.random, rounds), rounds), rounds


@check(points=1, timeout=200)
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


@check(points=2, timeout=200, needs=[runs])
def ready(work: Work) -> None:
    """A time is that from the call to the arrival of the first useful output."""
    rows, starts, _ = usual(work)
    for row, start in zip(rows, starts):
        if not true(row, start):
            said = row["seconds"]
            raise Mismatch(
                f"{start['took']:.3f} s for {row['box']} in round {row['round']}",
                f"no time: {row['error']}" if said is None else f"{said:.3f} s",
                "that the call has returned does not mean that the box can answer; when it ends is another question",
                "read the monotonic clock before the call, then wait with `line` for the first line that begins with "
                f"{PLAY.READY!r}, and read it again",
            )


@check(points=1, timeout=200, needs=[ready])
def clock(work: Work) -> None:
    """Somebody sets the machine's clock while the benchmark runs, and no time changes."""
    rows, starts = played(work, cast(work.random, 8), 8, jumps=True)
    for row, start in zip(rows, starts):
        if not true(row, start):
            raise Mismatch(
                f"{start['took']:.3f} s for {row['box']}",
                f"{row['seconds']} s" if row["seconds"] is not None else f"no time: {row['error']}",
                "the time of day is set, by people and by other machines, forwards and back",
                "look in the documentation of the module `time` for a clock that cannot go backwards",
            )


ROUNDS = 240
"""In how many rounds the orders are looked at."""

BY_CHANCE = 1e-9
"""How often each count of orders that are drawn anew is higher than what is let pass, and how often lower.

So a right answer fails less than once in ten million checks, and less than once in a hundred where its orders are drawn anew in threes, as a Latin
square has them. What keeps an order, turns or reverses it, draws anew in each second round or never puts some box first
slips through less than once in a hundred: `tests/unit/test_lab_startup.py` counts it.
"""


def uneven(orders: list[tuple[str, ...]]) -> str:
    """What comes too often or too seldom in orders that were drawn anew each time; empty where nothing does.

    Which box stands where, and which comes directly after which, is as often as any other. How one order became the next may be
    uneven, as who draws again what was just there is right as well; but no one way makes up half of them.
    """
    of, boxes, places = len(orders), sorted(orders[0]), range(len(orders[0]))
    stands = Counter((box, place) for order in orders for place, box in enumerate(order))
    follows = Counter(pair for order in orders for pair in pairwise(order))
    became = Counter(tuple(before.index(box) for box in order) for before, order in pairwise(orders))
    least, most = binom.interval(1 - 2 * BY_CHANCE, of, 1 / len(boxes))
    for box, place in product(boxes, places):
        if not least <= stands[box, place] <= most:
            return f"{box} is number {place + 1} in {stands[box, place]} of {of} rounds, not in {of / len(boxes):.0f} or so"
    for one, next in permutations(boxes, 2):
        if not least <= follows[one, next] <= most:
            return f"{next} comes directly after {one} in {follows[one, next]} of {of} rounds, not in {of / len(boxes):.0f} or so"
    step, times = became.most_common(1)[0]
    if times >= of / 2:
        return f"{_turned(step)} from one round to the next, {times} times of {of - 1}"
    return ""


def _turned(step: tuple[int, ...]) -> str:
    """In words, how an order became the next."""
    if step == tuple(range(len(step))):
        return "the order is unchanged"
    if step == tuple(reversed(range(len(step)))):
        return "the order is reversed"
    return "the order changes in the same way"


@check(points=1, timeout=200, needs=[runs])
def mixed(work: Work) -> None:
    """Round follows round, each in an order drawn anew, so that neither a drift of the machine nor a neighbour falls on one box alone."""
    boxes = cast(
        work.random, ROUNDS, least_s=0.03, most_s=0.06
    )  # so short that who looks each millisecond is soon through
    first, twin, *_ = boxes
    boxes[twin] = boxes[first]
    rows, starts = played(work, boxes, ROUNDS, drift=0.005)
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
    if found := uneven(orders[1:]):  # the round that warms up may have any
        raise Mismatch(
            "the boxes of each round in an order drawn anew",
            found,
            "what one box leaves behind, and what comes and goes in step with the rounds, then always falls on the same one",
            next,
        )


@check(points=1, timeout=200, needs=[ready])
def keeps(work: Work) -> None:
    """A start that is far slower than the others is kept as it is: not left out, and not tried again."""
    rounds = work.random.randint(8, 12)
    boxes = cast(work.random, rounds)
    slow = work.random.choice(list(boxes))
    boxes[slow][work.random.randint(2, rounds)] = PLAY.script(work.random, work.random.uniform(15, 20))
    rows, starts = played(work, boxes, rounds)
    why = "the slow starts are what somebody has to wait for; who deletes them measures a machine that does not exist"
    next = "return every start, and leave it to the summary how to speak of the slow one"
    if len(starts) > len(boxes) * (rounds + 1):
        expected = f"{len(boxes) * (rounds + 1)} starts"
        raise Mismatch(expected, f"{len(starts)}: some were tried again", why, next)
    for row, start in a_row_each(rows, starts, why, next):
        if not true(row, start):
            expected = f"{start['took']:.3f} s for {row['box']} in round {row['round']}"
            raise Mismatch(expected, f"{row['seconds']} s", why, next)


@check(points=2, timeout=200, needs=[ready])
def failures(work: Work) -> None:
    """A start that hangs, ends, or is late is a failure at the deadline, without a time."""
    rounds, deadline = work.random.randint(6, 9), work.random.uniform(20, 40)
    boxes = cast(work.random, rounds, 4)
    chatty = PLAY.hangs() | {"lines": [[second, "workload: started"] for second in range(1, 300)]}
    ended = PLAY.hangs() | {"ends": 0.8}
    late = PLAY.script(work.random, deadline * 1.2, called=0.1)
    for scripts, bad in zip(boxes.values(), (PLAY.hangs(), chatty, ended, late)):
        scripts[work.random.randint(1, rounds)] = bad
    rows, starts = played(work, boxes, rounds, deadline=deadline)
    why = "it did not take so long, it did not start: another deadline would have given another figure"
    next = (
        "a row with seconds None and the reason as error; the deadline is the whole start's, and there is no second try"
    )
    for row, start in a_row_each(rows, starts, why, next):
        failed = start["took"] is None or start["took"] > deadline
        given_up = (start["stopped"] or start["called"]) - start["called"]
        if failed and given_up > deadline + 1:
            actual = f"after {given_up:.1f} s"
            raise Mismatch(f"a start that is not ready is given up after {deadline:.1f} s", actual, why, next)
        if failed and not (row["seconds"] is None and row["error"]):
            expected = "no seconds, and an error, for a start that failed"
            raise Mismatch(expected, f"seconds {row['seconds']}, error {row['error']!r}", why, next)
        if not failed and not (true(row, start) and row["error"] is None):
            expected = f"{start['took']:.3f} s, and error None, for a start that succeeded"
            next = "a row with its seconds, and with error None"
            raise Mismatch(expected, f"seconds {row['seconds']}, error {row['error']!r}", why, next)
    if len(starts) != len(boxes) * (rounds + 1):
        expected = f"{len(boxes) * (rounds + 1)} starts"
        raise Mismatch(expected, f"{len(starts)}: what failed was tried again", why, next)


@check(points=1, timeout=200, needs=[runs])
def nothing_left(work: Work) -> None:
    """A box is stopped before the next one starts, also when it failed, and when somebody presses Ctrl-C."""
    boxes = cast(work.random, 6)
    next(iter(boxes.values()))[3] = PLAY.hangs()
    interrupted = work.random.randint(4, 9)
    for when, interrupt in {"a box hangs": None, f"Ctrl-C comes in start {interrupted + 1}": interrupted}.items():
        stage = perform(work, PLAY.play_of(boxes, 6, interrupt=interrupt))
        starts, left = stage.starts, len(stage.left)
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
    random = work.random
    counts = (
        random.choice([10, 12, 14]),
        random.choice([11, 13, 15]),
        1,
        0,
    )  # a median is another thing where n is even
    for name, n in zip(cast(random, 1, len(counts)), counts):
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
    (found,) = work.call("bench", ("summary", rows), next=REHEARSE)
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
