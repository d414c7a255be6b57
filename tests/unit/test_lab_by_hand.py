"""What lab 05 concludes from what the kernel says of a container, and how often a fixed number meets what is drawn."""

import contextlib
import importlib.util
from fractions import Fraction
from random import Random
from types import SimpleNamespace

import pytest

from boxlab import paths
from boxlab.labs import BoxlabError, Mismatch

_spec = importlib.util.spec_from_file_location("lab_05", paths.LABS / "05-by-hand" / "checks.py")
lab_05 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab_05)

MEMORY, PROCESSES = 50 << 20, 20
LIMITS = {"memory.max": MEMORY, "memory.high": None, "memory.swap.max": 0, "pids.max": PROCESSES}


@pytest.fixture
def saw(monkeypatch):
    """Pretend what was seen in the end, and in a further play."""

    def pretend(limits=None, status=0, fault=135, late=None, **said):
        facts = {"pid": 1, "group": "/mine", "limits": LIMITS | (limits or {})}
        asked = {"memory": MEMORY, "processes": PROCESSES, "status": 7, "text": "abc"}
        seen = {"facts": facts, "asked": asked, "status": status, "output": "abc", "said": said, "trouble": ""}
        others = {"end": {"status": 7}, "late": {"status": fault, "facts": facts | (late or {})}}
        monkeypatch.setattr(lab_05, "attempt", lambda _, play: seen | others.get(play, {}))

    return pretend


@pytest.mark.parametrize("seen", [{"have": 2}, {"have": 1}, {"have": 0, "killed": 4}, {"status": 137}, {"status": -9}])
def test_a_limit_of_memory_kills_who_gets_none_or_all_of_them(saw, seen):
    saw(**seen)
    lab_05.limited_memory(None)


@pytest.mark.parametrize("seen", [{"have": 4}, {"have": 3}, {"have": 0, "killed": 3}, {}, {"status": 1}])
def test_who_gets_more_is_not_limited(saw, seen):
    saw(**seen)
    with pytest.raises(Mismatch):
        lab_05.limited_memory(None)


@pytest.mark.parametrize(
    "limits",
    [
        {"memory.max": None},
        {"memory.max": MEMORY // 2},
        {"memory.max": MEMORY + 4096},
        {"memory.max": None, "memory.high": MEMORY},
        {"memory.high": MEMORY // 2},
        {"memory.swap.max": None},
        {"memory.swap.max": MEMORY},
    ],
)
def test_limits_of_memory_that_are_others(saw, limits):
    saw(limits, have=2)
    with pytest.raises(Mismatch):
        lab_05.limited_memory(None)


@pytest.mark.parametrize("limits", [{"memory.max": MEMORY - 4000}, {"memory.high": MEMORY}])
def test_limits_of_memory_that_are_rounded_or_mean_nothing_more(saw, limits):
    saw(limits, have=2)
    lab_05.limited_memory(None)


@pytest.mark.parametrize(
    ("status", "right"), [(137, True), (-9, True), (247, False), (0, False), (1, False), (9, False)]
)
def test_what_truly_says_that_a_command_was_killed(saw, status, right):
    saw(status=status)
    if right:
        lab_05.runs(None)
    else:
        with pytest.raises(Mismatch, match=f"status {status}"):
            lab_05.runs(None)


@pytest.mark.parametrize(("status", "right"), [(135, True), (-7, True), (137, False), (7, False), (249, False)])
def test_sigkill_is_not_the_only_signal(saw, status, right):
    saw(status=137, fault=status)
    with contextlib.nullcontext() if right else pytest.raises(Mismatch, match=f"{status}"):
        lab_05.runs(None)


def test_who_is_put_into_the_group_too_late_is_not_limited(saw):
    saw(have=2, late={"group": "/", "limits": dict.fromkeys(LIMITS)})
    with pytest.raises(Mismatch, match="the machine's own group, /, has memory.max max"):
        lab_05.limited_memory(None)


@pytest.mark.parametrize(
    ("limit", "started", "right"),
    [
        (20, 19, True),
        (21, 19, True),
        (20, 18, True),
        (19, 18, False),
        (24, 19, False),
        (None, 19, False),
        (20, 20, False),
        (20, 10, False),
    ],
)
def test_processes(saw, limit, started, right):
    saw({"pids.max": limit}, started=started, refused=True)
    if right:
        lab_05.limited_processes(None)
    else:
        with pytest.raises(Mismatch):
            lab_05.limited_processes(None)


def test_a_number_of_ones_own_seldom_meets_what_is_drawn():
    """One number for all must be right for two draws: where it is best, one time in a hundred and forty."""
    drawn = range(lab_05.FEWEST, lab_05.MOST)

    def meets(own):
        return Fraction(sum(most <= own <= most + lab_05.OWN for most in drawn), len(drawn)) ** 2

    assert max(map(meets, range(100))) == Fraction(1, 144)


class Machines:
    """As much of `Work` as an attempt needs: what machines say of one container.py after another."""

    def __init__(self, *says):
        self.random, self.says, self.asked = Random(1), list(says), []

    def text(self, name):
        return "the learner's"

    @contextlib.contextmanager
    def machine(self, program, memory_mib):
        yield self

    @property
    def box(self):
        return SimpleNamespace(answer_s=60)

    def ask(self, question, next=""):
        self.asked.append(question["attempt"])
        said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        return {"trouble": "", "facts": {"pid": 1}, "output": "", "status": 0} | said


HANGS = {"trouble": "it did not end within 40 s", "status": None}
GONE = Mismatch("the machine answers", "it has ended", "w", "n")


@pytest.mark.parametrize("trouble", [HANGS, GONE, {"spoilt": "no /proc"}])
def test_what_does_not_end_where_one_that_is_right_ends_in_a_third_of_the_time_is_wrong(trouble):
    work = Machines(trouble, {})
    with pytest.raises(Mismatch):
        lab_05.attempt(work, "hog")
    learners, right = work.asked
    assert learners["files"]["container.py"] == "the learner's" and right["files"]["container.py"] == lab_05.RIGHT
    assert (right["play"], right["arguments"]) == (learners["play"], learners["arguments"])
    assert right["seconds"] == learners["seconds"] / 3


@pytest.mark.parametrize("trouble", [HANGS, GONE])
@pytest.mark.parametrize("control", [HANGS, GONE, {"spoilt": "no /proc"}])
def test_where_what_is_right_does_not_end_either_it_is_the_machine(trouble, control):
    with pytest.raises(BoxlabError, match="a container.py that is right"):
        lab_05.attempt(Machines(trouble, control), "end")
