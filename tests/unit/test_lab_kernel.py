"""What lab 04 answers to what is asked, and how it disguises its machine."""

import contextlib
import importlib.util
import io
import runpy
import sys
import time
from fractions import Fraction
from itertools import count, permutations
from types import SimpleNamespace

import pytest

from boxlab import paths
from boxlab.errors import BoxlabError
from boxlab.labs import Mismatch

_spec = importlib.util.spec_from_file_location("lab_04", paths.LABS / "04-kernel" / "checks.py")
lab_04 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab_04)


class Kernel:
    """A pretended one, whose counter runs on with each look at it."""

    def __init__(self, boot_id):
        self.boot_id, self.ticks = boot_id, 0

    def look(self, path):
        self.ticks += 1
        files = {"/proc": "1\nself\nuptime\nversion\nsys", "uname": "Linux twin 6.1", "/proc/uptime": str(self.ticks)}
        return (files | {lab_04.BOOT_ID: self.boot_id, "/proc/version": "6.1 #1", "/etc/issue": "Debian"}).get(path)

    def below(self, path):
        return {
            name: self.look(name) for name in (path, f"{path}/random/boot_id", "/proc/1/comm") if name.startswith(path)
        }


@pytest.fixture
def host():
    return Kernel("the host's")


@pytest.fixture
def disguise(host):
    return lab_04.Disguise(Kernel("its own").look, host.look, host.below)


@pytest.mark.parametrize("path", ["uname", "/proc", "/proc/version", "/etc/issue", "/sys/kernel/notes", "/proc/4711"])
def test_the_machine_looks_like_a_container(disguise, host, path):
    assert disguise.look(path) == host.look(path)


def test_only_its_boot_id_is_its_own(disguise):
    assert disguise.look(lab_04.BOOT_ID) == "its own"


def test_a_counter_of_the_hosts_is_never_met_between_two_looks(disguise, host):
    for _ in range(3):
        before, there, after = (int(look("/proc/uptime")) for look in (host.look, disguise.look, host.look))
        assert not before <= there <= after
        before, there, after = (int(look("/proc/uptime")) for look in (disguise.look, host.look, disguise.look))
        assert not before <= there <= after


def test_a_counter_runs_on_all_the_same(disguise):
    first, second = (int(disguise.look("/proc/uptime")) for _ in range(2))
    assert first < second


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ([["box-1", "box-2"], "uname"], "ask wants the name of one box"),
        (["box-9", "uname"], "there is no box 'box-9'"),
        (["box-1", 7], "what to read is a path"),
        (["box-1", "/root/secret"], "may not be asked for"),
        (["box-1", "/proc/1/root/etc"], "but none through root, cwd, exe,"),
        (["box-1"], "ask wants"),
        ({"box-1": "uname"}, "ask wants"),
        (None, "ask wants"),
    ],
)
def test_a_slip_is_answered_by_what_ask_wants(question, says):
    assert says in lab_04._answer({"box-1": str.upper}, question)["error"]


def test_a_slash_at_the_end_means_nothing():
    assert lab_04._answer({"box-1": str.upper}, ["box-1", "/proc/"]) == {"text": "/PROC"}


def test_the_twin_is_not_among_the_processes_of_the_host():
    looks = {"/proc": "1\n42\n420", "/proc/42/comm": "python3", "/proc/420/comm": "bash"}
    assert lab_04._without(looks.get, "42", "/proc") == "1\n420"
    assert [lab_04._without(looks.get, "42", path) for path in ("/proc/42", "/proc/42/comm")] == [None, None]
    assert lab_04._without(looks.get, "42", "/proc/420/comm") == "bash"


def test_who_guesses_is_found_out():
    """By the place in the order, always; by tossing a coin for each box of each round, in all but one of 512 checks."""
    for order in permutations(["machine", *lab_04.CONTAINERS]):
        rounds = [order[turn:] + order[:turn] for turn in range(3)]
        assert {kinds.index("machine") for kinds in rounds} == {0, 1, 2}
        assert Fraction(1, 2) ** sum(map(len, rounds)) == Fraction(1, 512)


def test_what_other_threads_print_comes_before_a_question_or_after_it(monkeypatch):
    """In one write: what is printed in several is torn by what another thread prints between them."""
    written = []
    monkeypatch.setattr(sys, "__stdin__", io.StringIO('{"text": "6.1"}\n'))
    monkeypatch.setattr(sys, "__stdout__", SimpleNamespace(write=written.append, flush=lambda: None))
    assert runpy.run_path(str(paths.LABS / "04-kernel" / "starter" / "boxes.py"))["ask"]("host", "uname") == "6.1"
    assert written == ['\n\x1e["host", "uname"]\n']


def test_who_asks_without_end_is_not_taken_for_boxes_that_are_slow(monkeypatch):
    def run(argv, serve, **words):
        for _ in range(9):
            serve(["host", "/proc"])
        raise Mismatch("it ends", "it did not end", "w", "n")

    monkeypatch.setattr(time, "monotonic", count(0, 100).__next__)
    with pytest.raises(Mismatch, match="did not end"):
        lab_04._run(SimpleNamespace(run=run), {"host": str.upper})


@pytest.mark.parametrize("question", [{"look": "uname"}, {"below": "/proc/irq"}, {"dress": {}}])
def test_a_box_of_the_checks_that_does_not_answer_is_no_mistake_of_the_learners(question):
    def fail(*_):
        raise Mismatch("an answer", "it ended", "w", "n")

    @contextlib.contextmanager
    def container(*_, **__):
        yield SimpleNamespace(ask=fail, process=7)

    with lab_04._container(SimpleNamespace(container=container)) as ask, pytest.raises(BoxlabError, match="it ended"):
        ask(**question)


def test_interrupts_are_asked_for_one_by_one():
    looks, asked = {"/proc": "1\nirq\nuptime", "/proc/irq": "0\n1\ndefault_smp_affinity"}, []

    def below(path):
        asked.append(path)
        return {path: "text"}

    disguise = lab_04.Disguise(looks.get, looks.get, below)
    assert asked == [f"/proc/{name}" for name in ("1", "uptime", "irq/0", "irq/1", "irq/default_smp_affinity")]
    assert disguise.look("/proc/irq") == looks["/proc/irq"]


@pytest.mark.parametrize("line", ["", "no JSON", "[" * 100_000])
def test_what_is_no_json_is_told(line):
    assert lab_04._unlike(line, ["one"]) == "the last line is no JSON"
