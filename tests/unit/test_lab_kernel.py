"""What lab 04 answers to what is asked, and how it disguises its machine."""

import importlib.util
from fractions import Fraction
from itertools import permutations

import pytest

from boxlab import paths

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
        (["box-1", "/proc/1/root/etc"], "may not be asked for"),
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
