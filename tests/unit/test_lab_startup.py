"""Lab 06: which orders pass as drawn anew, and that the played clock and what waits for it work without an engine."""

import itertools
import runpy
import shutil
import sys
from random import Random
from types import SimpleNamespace

import command
import pytest

from boxlab import paths
from boxlab.labs import Mismatch

LAB = paths.LABS / "06-startup"
CHECKS = runpy.run_path(str(LAB / "checks.py"))
BOXES, ROUNDS = ("a", "b", "c"), CHECKS["ROUNDS"]
TRIALS = 200


def drawn(random):
    return tuple(random.sample(BOXES, len(BOXES)))


def times(count, make):
    """Orders for all rounds, `count` of which are made at a time."""
    return list(itertools.islice(itertools.chain.from_iterable(make() for _ in range(ROUNDS)), ROUNDS))


def turned(order, by):
    by %= len(order)
    return order[by:] + order[:by]


def step_by_step(random, follows):
    """Orders that each depend on the one before."""
    orders = [drawn(random)]
    while len(orders) < ROUNDS:
        orders.append(follows(orders[-1]))
    return orders


def swapped(random, order):
    at = random.randrange(len(order) - 1)
    return (*order[:at], order[at + 1], order[at], *order[at + 2 :])


def another(random, order, wrong):
    while wrong(found := drawn(random), order):
        pass
    return found


RIGHT = {
    "drawn anew": lambda r: [drawn(r) for _ in range(ROUNDS)],
    "by a seed for each round": lambda r: [drawn(Random(r.random())) for _ in range(ROUNDS)],
    "never the order of before": lambda r: step_by_step(r, lambda o: another(r, o, lambda new, old: new == old)),
    "no box after itself": lambda r: step_by_step(r, lambda o: another(r, o, lambda new, old: new[0] == old[-1])),
    "each order as often": lambda r: times(6, lambda: r.sample(list(itertools.permutations(BOXES)), 6)),
}

WRONG = {
    "drawn once": lambda r: [drawn(r)] * ROUNDS,
    "the last one reversed": lambda r: [BOXES] * (ROUNDS - 1) + [BOXES[::-1]],
    "one box always first": lambda r: [(BOXES[0], *r.sample(BOXES[1:], 2)) for _ in range(ROUNDS)],
    "one box never first": lambda r: [another(r, None, lambda new, _: new[0] == "a") for _ in range(ROUNDS)],
    "one box never last": lambda r: [another(r, None, lambda new, _: new[-1] == "a") for _ in range(ROUNDS)],
    "turned": lambda r: [turned(BOXES, number) for number in range(ROUNDS)],
    "turned by chance": lambda r: [turned(BOXES, r.randrange(3)) for _ in range(ROUNDS)],
    "there and back": lambda r: times(2, lambda: (order := drawn(r), order[::-1])),
    "two neighbors swapped": lambda r: step_by_step(r, lambda order: swapped(r, order)),
    "each order twice": lambda r: times(2, lambda: [drawn(r)] * 2),
    "each order ten times": lambda r: times(10, lambda: [drawn(r)] * 10),
    "each second one drawn": lambda r: times(2, lambda: (BOXES, drawn(r))),
    "one half, then another": lambda r: [drawn(r)] * (ROUNDS // 2) + [drawn(r)] * (ROUNDS // 2),
    "all orders in their turn": lambda r: times(6, lambda: itertools.permutations(BOXES)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_orders_that_are_drawn_anew_pass(name):
    assert [CHECKS["uneven"](RIGHT[name](Random(seed))) for seed in range(TRIALS)] == [""] * TRIALS


@pytest.mark.parametrize("name", WRONG)
def test_others_slip_through_less_than_once_in_a_hundred(name):
    assert all(CHECKS["uneven"](WRONG[name](Random(seed))) for seed in range(TRIALS))


def rehearsed(folder, bench):
    """What a learner sees of a rehearsal, a line each."""
    for path in (LAB / "starter").iterdir():
        shutil.copy(path, folder)
    shutil.copy(bench / "bench.py", folder)
    return command.run(sys.executable, "play.py", cwd=folder).stdout.splitlines()


SILENT = [
    f"right/{path.name}"
    for path in sorted((LAB / "right").iterdir())
    if "logging" not in (path / "bench.py").read_text()
]


@pytest.mark.parametrize("answer", ["solution", *SILENT])
def test_a_rehearsal_shows_what_was_played_and_what_a_right_answer_says_is_that(answer, tmp_path):
    lines = [line.lstrip(".").split() for line in rehearsed(tmp_path, LAB / answer)]
    rows = [line for line in lines if line and line[0] in ("process", "container", "microvm")][:18]
    assert len(rows) == 18 and all(row[2] == row[3] or row[-1] == "never" for row in rows)


def test_a_rehearsal_of_the_starter_comes_to_its_end(tmp_path):
    assert "you say" in rehearsed(tmp_path, LAB / "starter")[0]


BUSY = """
import time
def measure(boxes, rounds, deadline):
    rows = []
    for number in range(rounds + 1):
        for name, start in boxes.items():
            box = start()
            until = time.{clock} + {second}
            while time.{clock} < until:
                pass
            box.stop()
            rows.append({{"box": name, "round": number, "seconds": None, "error": "none was looked for"}})
    return rows
summary = lambda rows: {{}}
"""

CLOCKS = {
    "monotonic()": 1,
    "time()": 1,
    "perf_counter_ns()": 10**9,
    "clock_gettime(time.CLOCK_BOOTTIME)": 1,
    "clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)": 10**9,
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_who_only_looks_at_the_clock_comes_to_an_end(clock, tmp_path):
    for folder in ("bench", "copy"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bench" / "bench.py").write_text(BUSY.format(clock=clock, second=CLOCKS[clock]))
    assert len(rehearsed(tmp_path / "copy", tmp_path / "bench")) == 31


@pytest.mark.parametrize("value", [10**400, float("nan"), float("inf"), "1", None, [1]])
def test_what_cannot_be_calculated_with_is_no_number(value):
    assert not CHECKS["is_number"](value) and CHECKS["is_number"](1.5)


def test_a_start_without_a_time_is_told_with_its_error(monkeypatch):
    starts = [{"box": f"box-{number}", "took": 0.5} for number in range(4)]
    rows = [{"box": start["box"], "round": 0, "seconds": None, "error": "late"} for start in starts]
    keeps = CHECKS["keeps"]
    monkeypatch.setitem(keeps.function.__globals__, "played", lambda *_, **__: (rows, starts))
    with pytest.raises(Mismatch, match="seconds None, error 'late'"):
        keeps(SimpleNamespace(random=Random(1)))
