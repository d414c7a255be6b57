"""Lab 07: how often a wrong model slips through what is drawn, and that right ones never fail."""

import json
import runpy
import shutil
import statistics
import sys
from random import Random

import command
import numpy as np
import pytest

from boxlab import paths

LAB = paths.LABS / "07-memory"
CHECKS = runpy.run_path(str(LAB / "checks.py"))
LEAST, MOST = CHECKS["LEAST"], CHECKS["MOST"]
TRIALS = 200


def drawn(seed):
    """The machines that `uses_all` draws."""
    random = Random(seed)
    return [*CHECKS["pretended"](random), *CHECKS["bent"](random)]


def points(readings):
    return [(reading["containers"], CHECKS["truth"](reading)) for reading in readings]


def fitted(readings):
    slope, intercept = np.polyfit(*zip(*points(readings), strict=True), 1)
    return slope, intercept


def through(one, other):
    slope = (other[1] - one[1]) / (other[0] - one[0])
    return lambda count: one[1] + slope * (count - one[0])


def last_two(readings):
    *_, before, last = points(readings)
    return through(before, last) if before[0] != last[0] else lambda count: last[1]


def of_each(readings):
    slope, intercept = np.polyfit(*zip(*dict(points(readings)).items(), strict=True), 1)
    return lambda count: intercept + slope * count


def scaled(whole, each, shared):
    """The right line with its parts taken so many times."""

    def model(readings):
        slope, intercept = fitted(readings)
        return lambda count: whole * (shared * intercept + each * slope * count)

    return model


def through_origin(readings):
    each = sum(x * y for x, y in points(readings)) / sum(x * x for x, _ in points(readings))
    return lambda count: each * count


def in_proportion(readings):
    count, mib = max(points(readings))
    return lambda asked: mib / count * asked


WRONG = {
    "ten per cent more": scaled(1.1, 1, 1),
    "ten per cent less": scaled(0.9, 1, 1),
    "each ten per cent more": scaled(1, 1.1, 1),
    "each ten per cent less": scaled(1, 0.9, 1),
    "nothing shared": scaled(1, 1, 0),
    "shared twice": scaled(1, 1, 2),
    "through the origin": through_origin,
    "in proportion": in_proportion,
    "the median of each alone": lambda r: lambda count: statistics.median(y / x for x, y in points(r)) * count,
}


def of_two(which):
    """A line through the means of two numbers of containers."""

    def model(readings):
        counts = sorted({count for count, _ in points(readings)})
        means = {count: statistics.mean(mib for at, mib in points(readings) if at == count) for count in counts}
        one, other = (counts[place] for place in which)
        return through((one, means[one]), (other, means[other]))

    return model


FROM_FEW = {
    "means of the least and the most": of_two((0, -1)),
    "means of the last two": of_two((-2, -1)),
    "means of the first two": of_two((0, 1)),
    "last two": last_two,
    "least and most": lambda r: through(min(points(r), key=lambda p: p[1]), max(points(r), key=lambda p: p[1])),
    "first and last": lambda r: last_two([r[0], r[-1]]),
    "one of each": of_each,
    "written down": lambda r: lambda count: 90 + 60 * count,
}


def misses(model, readings, counts, truth, share):
    said = model(readings)
    return any(abs(said(count) - truth(count)) > share * truth(count) for count in counts)


@pytest.mark.parametrize("name", WRONG | FROM_FEW)
def test_a_wrong_model_slips_through_less_than_once_in_a_hundred(name):
    model = (WRONG | FROM_FEW)[name]
    for seed in range(TRIALS):
        machines = drawn(seed)
        assert any(misses(model, m.readings, (m.limit - 1, m.limit), m.line.at, LEAST) for m in machines)


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("each, once", [(4, 0), (7, 18), (16, 24)])
def test_where_it_is_measured_it_misses_by_more_than_is_ever_let_pass(name, each, once):
    """Whatever an interpreter and a shim take for each container, and once for all."""
    for seed in range(TRIALS // 5):
        own, shared = CHECKS["amounts"](Random(seed))
        line = CHECKS["Line"](own + each, shared + once)
        readings = [CHECKS["_reading"](count, line.at(count)) for count in CHECKS["SEEN"] * 2]
        assert misses(WRONG[name], readings, CHECKS["UNSEEN"], line.at, MOST)


@pytest.mark.parametrize("answer", ["solution", *(f"right/{path.name}" for path in sorted((LAB / "right").iterdir()))])
def test_no_right_answer_is_near_the_edge(answer):
    """All of them stay within two thirds of what is let pass."""
    predict = runpy.run_path(str(LAB / answer / "predict.py"))["predict"]
    for seed in range(TRIALS // 20):
        for machine in drawn(seed):
            right = machine.line.at(machine.limit)
            assert predict(machine.readings, machine.limit) == pytest.approx(right, rel=LEAST * 2 / 3)


def test_a_rehearsal_needs_nothing_but_python(tmp_path):
    for source in (LAB / "starter" / "rehearse.py", LAB / "solution" / "predict.py"):
        shutil.copy(source, tmp_path)
    readings = [CHECKS["_reading"](count, 50 + 100 * count) for count in (1, 2, 4, 8)]
    (tmp_path / "readings.json").write_text(json.dumps({"version": 1, "readings": readings}))
    said = command.run(sys.executable, "rehearse.py", cwd=tmp_path).stdout
    assert "8 containers: rss 1700.0, pss 850.0, uss 637.5 MiB in sum; you say 850.0" in said
    assert "from 3 of them you predict for 8: 850.0 MiB" in said and "hold at least 8" in said


@pytest.mark.parametrize("value", [10**400, float("nan"), float("inf"), "1", None, [1]])
def test_what_cannot_be_calculated_with_is_no_number(value):
    assert not CHECKS["is_number"](value) and CHECKS["is_number"](1.5)
