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
from scipy.special import bdtrik  # scipy.stats takes a second and more to import

from boxlab.labs import Mismatch, Work, _, check, several

PLAY = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("starter") / "play.py")))

EXACT_S = 0.01
"""How far a figure may be from what was played: less than a stop takes, and more than is lost by who looks each 5 ms."""

MISSING = object()
"""In place of a figure that the summary does not have."""

QUARTILES = ("inverted_cdf", "hazen", "weibull", "linear", "lower", "higher", "midpoint", "median_unbiased")
"""Definitions of a quartile that are in use; which one is taken does not matter here."""

REHEARSE = _("`.venv/bin/python work/06-startup/play.py` shows what your benchmark says of boxes whose times are known")

SECONDS = 60
"""How long a play may take, in which nothing is waited for."""


def perform(work: Work, play: dict) -> PLAY.Stage:
    """The stage after a play."""
    stage = PLAY.Stage(play, work.random)
    ran = work.run(
        ["python", "played.py"],
        serve=stage.answer,
        serve_known=PLAY.Stage(play, Random(0)).answer,
        seconds=SECONDS,
        output_kib=2048,
        name="bench.py",
        next=REHEARSE,
    )
    if not stage.over:
        raise Mismatch(
            _("{program} can be imported, and `measure` returns", program="bench.py"),
            _("it ended with status {status}:\n{output}", status=ran.status, output=ran.shown),
            _("a benchmark that breaks off has measured nothing"),
            REHEARSE,
        )
    return stage


def played(work: Work, boxes: dict, rounds: int, **options) -> tuple[list[dict], list[dict]]:
    """The rows that `measure` returns for a play, and the starts that were played."""
    stage = perform(work, PLAY.play_of(boxes, rounds, **options))
    if stage.trouble:
        raise Mismatch(
            _("`measure` returns its rows"),
            stage.trouble,
            _("what never comes must not be waited for, and one bad start must not take the others with it"),
            REHEARSE,
        )
    rows = stage.rows if isinstance(stage.rows, list) else [stage.rows]
    if wrong := [row for row in rows if not is_row(row)]:
        raise Mismatch(
            _(
                "a list of rows, each a dictionary with {box}, {round} (a whole number), {seconds} (a number or {none}) and "
                "{error}",
                box="box",
                round="round",
                seconds="seconds",
                none="None",
                error="error",
            ),
            repr(wrong[0])[:300],
            _("who wants to check your conclusion needs every single start"),
            _("the docstring of `measure` says what it returns"),
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
        expected = several("a row for each of {count} starts", "a row for each of {count} starts", len(starts))
        raise Mismatch(expected, several("{count} rows", "{count} rows", len(rows)), why, next)
    for number, (row, start) in enumerate(zip(rows, starts), 1):
        if row["box"] != start["box"]:
            raise Mismatch(
                _("the rows in the order of the starts: row {number} is of {box}", number=number, box=start["box"]),
                _("it is of {box}", box=row["box"]),
                _("who looks for a drift, or for what one box leaves to the next, has to see what followed what"),
                _("add each row when its start is over, and sort nothing"),
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
        boxes[name] = [PLAY.script(random, usual * random.uniform(0.95, 1.05)) for number in range(rounds + 1)]
        boxes[name][0] = PLAY.script(random, usual * 4)
    return boxes


@cache
def usual(work: Work) -> tuple[list[dict], list[dict], int]:
    """A play in which nothing goes wrong: rows, starts, rounds."""
    rounds = work.random.randint(7, 12)
    return *played(work, cast(work.random, rounds), rounds), rounds


@check(points=1)
def runs(work: Work) -> None:
    """Each box is started once in a round that warms up and in each round that counts, and each start has its row."""
    rows, starts, rounds = usual(work)
    why = _("the first start finds caches empty, and n is fixed before anyone has seen a result")
    next = _("round 0 and then `rounds` more, each box once in each, one row for each start")
    a_row_each(rows, starts, why, next)
    if len(starts) != BOXES * (rounds + 1):
        expected = _("{starts} starts of {boxes} boxes", starts=BOXES * (rounds + 1), boxes=BOXES)
        raise Mismatch(expected, several("{count} starts", "{count} starts", len(starts)), why, next)
    for name in {start["box"] for start in starts}:
        numbers = [row["round"] for row in rows if row["box"] == name]
        if numbers != list(range(rounds + 1)):
            expected = _("rounds 0 to {last} of {box}, one after the other", last=rounds, box=name)
            raise Mismatch(expected, _("rounds {numbers}", numbers=numbers), why, next)


@check(points=2, needs=[runs])
def ready(work: Work) -> None:
    """A time is that from the call to the arrival of the first useful output."""
    rows, starts = usual(work)[:2]
    for row, start in zip(rows, starts):
        if not true(row, start):
            said = row["seconds"]
            raise Mismatch(
                in_round(row, start),
                _("no time: {error}", error=row["error"]) if said is None else _("{seconds:.3f} s", seconds=said),
                _("that the call has returned does not mean that the box can answer; when it ends is another question"),
                _(
                    "read the monotonic clock before the call, then wait with `line` for the first line that begins with "
                    "{words!r}, and read it again",
                    words=PLAY.READY,
                ),
            )


def in_round(row: dict, start: dict) -> str:
    """What the time of a row should be."""
    return _("{seconds:.3f} s for {box} in round {round}", seconds=start["took"], box=row["box"], round=row["round"])


@check(points=1, needs=[ready])
def clock(work: Work) -> None:
    """Somebody sets the machine's clock while the benchmark runs, and no time changes."""
    rows, starts = played(work, cast(work.random, 8), 8, jumps=True)
    for row, start in zip(rows, starts):
        if not true(row, start):
            raise Mismatch(
                _("{seconds:.3f} s for {box}", seconds=start["took"], box=row["box"]),
                _("{seconds} s", seconds=row["seconds"])
                if row["seconds"] is not None
                else _("no time: {error}", error=row["error"]),
                _("the time of day is set, by people and by other machines, forwards and back"),
                _("look in the documentation of the module `time` for a clock that cannot go backwards"),
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
    # Quantiles of the binomial distribution.
    least, most = np.ceil(bdtrik([BY_CHANCE, 1 - BY_CHANCE], of, 1 / len(boxes)))
    for box, place in product(boxes, places):
        if not least <= stands[box, place] <= most:
            return _(
                "{box} is number {place} in {times} of {rounds} rounds, not in {usual:.0f} or so",
                box=box,
                place=place + 1,
                times=stands[box, place],
                rounds=of,
                usual=of / len(boxes),
            )
    for one, next in permutations(boxes, 2):
        if not least <= follows[one, next] <= most:
            return _(
                "{box} comes directly after {other} in {times} of {rounds} rounds, not in {usual:.0f} or so",
                box=next,
                other=one,
                times=follows[one, next],
                rounds=of,
                usual=of / len(boxes),
            )
    step, times = became.most_common(1)[0]
    if times >= of / 2:
        return _turned(step, times=times, rounds=of - 1)
    return ""


def _turned(step: tuple[int, ...], **often: int) -> str:
    """In words, how an order became the next, and how often."""
    if step == tuple(range(len(step))):
        return _("the order is unchanged from one round to the next, {times} times of {rounds}", **often)
    if step == tuple(reversed(range(len(step)))):
        return _("the order is reversed from one round to the next, {times} times of {rounds}", **often)
    return _("the order changes in the same way from one round to the next, {times} times of {rounds}", **often)


@check(points=1, needs=[runs])
def mixed(work: Work) -> None:
    """Round follows round, each in an order drawn anew, so that neither a drift of the machine nor a neighbor falls on one box alone."""
    boxes = cast(
        work.random, ROUNDS, least_s=0.03, most_s=0.06
    )  # so short that who looks each millisecond is soon through
    first, twin = list(boxes)[:2]
    boxes[twin] = boxes[first]
    rows, starts = played(work, boxes, ROUNDS, drift=0.005)
    names = [start["box"] for start in starts]
    orders = [tuple(names[i : i + len(boxes)]) for i in range(0, len(names), len(boxes))]
    next = _("the loop over rounds outside, the loop over boxes inside, and the boxes in an order drawn anew each time")
    if any(set(order) != set(boxes) for order in orders):
        times = {box: [r["seconds"] for r in rows if r["box"] == box and r["seconds"]] for box in (first, twin)}
        ratio = statistics.median(times[twin] or [1]) / statistics.median(times[first] or [1])
        raise Mismatch(
            _("each box once, before any box is started again"),
            _(
                "{boxes}, …; {one} and {other} were the same box on a machine that grows slower, and your medians say that "
                "one takes {ratio:.1f} times as long",
                boxes=", ".join(names[:5]),
                one=first,
                other=twin,
                ratio=max(ratio, 1 / ratio),
            ),
            _("a machine drifts: it warms up, other programs come and go; in blocks, that falls on one box"),
            next,
        )
    if found := uneven(orders[1:]):  # the round that warms up may have any
        raise Mismatch(
            _("the boxes of each round in an order drawn anew"),
            found,
            _(
                "what one box leaves behind, and what comes and goes in step with the rounds, then always falls on the same "
                "one"
            ),
            next,
        )


@check(points=1, needs=[ready])
def keeps(work: Work) -> None:
    """A start that is far slower than the others, and just in time, is kept as it is: not left out, and not tried again."""
    rounds = work.random.randint(8, 12)
    boxes = cast(work.random, rounds)
    slow = work.random.choice(list(boxes))
    took = work.random.uniform(15, 20)
    boxes[slow][work.random.randint(2, rounds)] = PLAY.script(work.random, took)
    rows, starts = played(work, boxes, rounds, deadline=took / 0.95)
    why = _(
        "the slow starts are what somebody has to wait for; who deletes them measures a machine that does not exist"
    )
    next = _("return every start, and leave it to the summary how to speak of the slow one")
    if len(starts) > (most := len(boxes) * (rounds + 1)):
        expected = several("{count} starts", "{count} starts", most)
        raise Mismatch(expected, _("{number}: some were tried again", number=len(starts)), why, next)
    for row, start in a_row_each(rows, starts, why, next):
        if not true(row, start):
            raise Mismatch(in_round(row, start), row_says(row), why, next)


@check(points=2, needs=[ready])
def failures(work: Work) -> None:
    """A start that hangs, ends, or is late is a failure at the deadline, without a time."""
    rounds, deadline = work.random.randint(6, 9), work.random.uniform(12, 25)
    boxes = cast(work.random, rounds, 4)
    chatty = PLAY.hangs() | {"lines": [[second, "workload: started"] for second in range(1, 300)]}
    ended = PLAY.hangs() | {"ends": 0.8}
    late = PLAY.script(work.random, deadline * 1.2, called=0.1)
    for scripts, bad in zip(boxes.values(), (PLAY.hangs(), chatty, ended, late)):
        scripts[work.random.randint(1, rounds)] = bad
    rows, starts = played(work, boxes, rounds, deadline=deadline)
    why = _("it did not take so long, it did not start: another deadline would have given another figure")
    next = _(
        "a row with {seconds} {none} and the reason as {error}; the deadline is the whole start's, and there is no second "
        "try",
        seconds="seconds",
        none="None",
        error="error",
    )
    for row, start in a_row_each(rows, starts, why, next):
        failed = start["took"] is None or start["took"] > deadline
        given_up = (start["stopped"] or start["called"]) - start["called"]
        if failed and given_up > deadline + 1:
            expected = _("a start that is not ready is given up after {seconds:.1f} s", seconds=deadline)
            raise Mismatch(expected, _("after {seconds:.1f} s", seconds=given_up), why, next)
        if failed and not (row["seconds"] is None and row["error"]):
            expected = _("no seconds, and an error, for a start that failed")
            raise Mismatch(expected, row_says(row), why, next)
        if not failed and not (true(row, start) and row["error"] is None):
            expected = _(
                "{seconds:.3f} s, and {error} {none}, for a start that succeeded",
                seconds=start["took"],
                error="error",
                none="None",
            )
            next = _("a row with its seconds, and with {error} {none}", error="error", none="None")
            raise Mismatch(expected, row_says(row), why, next)
    if len(starts) != (right := len(boxes) * (rounds + 1)):
        expected = several("{count} starts", "{count} starts", right)
        raise Mismatch(expected, _("{number}: what failed was tried again", number=len(starts)), why, next)


def row_says(row: dict) -> str:
    return _("seconds {seconds}, error {error!r}", seconds=row["seconds"], error=row["error"])


@check(points=1, needs=[runs])
def nothing_left(work: Work) -> None:
    """A box is stopped before the next one starts, also when it failed, and when somebody presses Ctrl-C."""
    boxes = cast(work.random, 6)
    next(iter(boxes.values()))[3] = PLAY.hangs()
    interrupted = work.random.randint(4, 9)
    for interrupt in (None, interrupted):
        stage = perform(work, PLAY.play_of(boxes, 6, interrupt=interrupt))
        starts, left = stage.starts, len(stage.left)
        crowded = sum(start["running"] > 0 for start in starts)
        if left or crowded:
            if interrupt is None:
                actual = _(
                    "when a box hangs, {left} of {starts} stay, and {crowded} were started beside another",
                    left=left,
                    starts=len(starts),
                    crowded=crowded,
                )
            else:
                actual = _(
                    "when Ctrl-C comes in start {number}, {left} of {starts} stay, and {crowded} were started beside another",
                    number=interrupted + 1,
                    left=left,
                    starts=len(starts),
                    crowded=crowded,
                )
            raise Mismatch(
                _("no other box runs while one starts, and none in the end"),
                actual,
                _("what stays behind takes memory and processor from what is measured next, and from everybody else"),
                _("`try: … finally: box.stop()` around all that happens once the box exists"),
            )
        if not starts[-1]["interrupted"] and any(start["interrupted"] for start in starts):
            raise Mismatch(
                _("Ctrl-C ends the benchmark"),
                _("more boxes were started after it"),
                _("who presses Ctrl-C wants the machine back"),
                _(
                    "let {interrupt} pass: no `except:` without the name of what it is for",
                    interrupt="KeyboardInterrupt",
                ),
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
        times = [*(random.uniform(0.9, 1.2) for number in range(n - 1)), *slowest]
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
                    several(
                        "{figure} of {count} starts that count and {failed} that failed: {value}",
                        "{figure} of {count} starts that count and {failed} that failed: {value}",
                        len(times),
                        figure=figure,
                        failed=failed,
                        value=_shown(least),
                    ),
                    _shown(said),
                    _(
                        "one slow start moves a mean, and not a median; the quartiles and the slowest show how far the "
                        "starts lie apart; what warms up and what failed has no place among them"
                    ),
                    _(
                        "the docstring of `summary` says what each figure is; times are those that count, failures all of "
                        "them"
                    ),
                )


def _shown(value) -> str:
    if value is MISSING:
        return _("there is no such key")
    return f"{value:.3f}" if isinstance(value, float) else repr(value)
