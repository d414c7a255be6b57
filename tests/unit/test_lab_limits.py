"""What lab 09 draws: no rule that leaves the service out is right about both machines, in any draw."""

import importlib.util
from random import Random

import pytest

from boxlab import paths
from boxlab.labs import Mismatch

_spec = importlib.util.spec_from_file_location("lab_09", paths.LABS / "09-limits" / "checks.py")
lab_09 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab_09)


def right(machine: dict, what: str) -> tuple[int, int]:
    """The least and the most that the neighbor may have."""
    return machine["neighbor"][what], lab_09.spare(machine, what)


RULES = {
    "a fixed amount": (lambda machine, what: 1, 0, 1e9),
    "a share of the machine": (lambda machine, what: machine[what], 0, 1),
    "a part of the service's need": (lambda machine, what: machine["service"][what], 0, 1e9),
    "a multiple of its own need, by a tenth or more": (lambda machine, what: machine["neighbor"][what], 1.1, 1e9),
    "a share of what is left, up to nine tenths": (lab_09.spare, 0, 0.9),
}
"""Of what a rule takes a multiple, the least and the largest that anybody would choose."""


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("what", ["memory_mib", "processes"])
def test_no_multiple_is_right_about_both_in_any_draw(rule, what):
    of, least, most = RULES[rule]
    for seed in range(2000):
        machines = lab_09.draw(Random(seed))
        lows = [right(machine, what)[0] / of(machine, what) for machine in machines]
        highs = [right(machine, what)[1] / of(machine, what) for machine in machines]
        assert max(*lows, least) > min(*highs, most), machines


@pytest.mark.parametrize("what", ["memory_mib", "processes"])
def test_no_fixed_amount_for_the_service_is_right_about_both(what):
    for seed in range(2000):
        machines = lab_09.draw(Random(seed))
        lows = [machine[what] - right(machine, what)[1] for machine in machines]
        highs = [machine[what] - right(machine, what)[0] for machine in machines]
        assert max(lows) > min(highs), machines


def told(monkeypatch, check: str, forks: int, **limits: int) -> str:
    """What a check says is, where a neighbor with these limits was killed after so many forks; nothing if it passes."""
    machine = {"memory_mib": 200, "processes": 30, "service": {"memory_mib": 120, "processes": 20}}
    printed = f"work: done\nforks: {forks} Resource temporarily unavailable"
    life = lab_09.Life(machine, {}, limits, printed, status=lab_09.KILLED)
    monkeypatch.setattr(lab_09, "lives", lambda work: [life])
    try:
        getattr(lab_09, check)(None)
    except Mismatch as mismatch:
        return mismatch.actual
    return ""


def test_a_neighbor_without_a_limit_that_somebody_else_killed_was_not_limited(monkeypatch):
    assert told(monkeypatch, "hog_is_killed", 10) == "no limit"
    assert told(monkeypatch, "hog_is_killed", 10, Memory=80 * lab_09.MIB) == ""


def test_the_container_counts_and_not_only_what_the_neighbor_forks(monkeypatch):
    assert told(monkeypatch, "forks_are_refused", 10, PidsLimit=11) == "its container may have 11"
    assert told(monkeypatch, "forks_are_refused", 10) == "no limit"
    assert told(monkeypatch, "forks_are_refused", 10, PidsLimit=10) == ""
