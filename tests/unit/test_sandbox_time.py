"""What counts of the time that a program may take, and what of what it prints: without a program."""

import itertools
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from boxlab.errors import BoxlabError
from boxlab.labs import sandbox
from boxlab.runtimes import spawn
from boxlab.waiting import HANG_S

ENDED = b"!ended "


class Spawned:
    """A program whose output comes in pieces, each after so many seconds of a clock of its own."""

    def __init__(self, monkeypatch, pieces):
        self.now, self._pieces = 0.0, iter(pieces)
        monkeypatch.setattr(sandbox.time, "monotonic", lambda: self.now)

    def spawned(self):
        return self

    def read(self, timeout_s):
        took, piece = next(self._pieces)
        self.now += timeout_s if took is None else took
        return piece

    def takes(self, timeout_s):
        self.now += timeout_s
        return False

    def send(self, data):
        pytest.fail("it is told something")


@pytest.fixture
def listen(monkeypatch):
    def listen(*pieces, serve=None):
        talk = sandbox._Talk("/folder")
        sandbox._listen(Spawned(monkeypatch, pieces), talk, ENDED, sandbox.Limits(seconds=5), serve)
        return talk

    return listen


def test_a_machine_that_slept_takes_none_of_a_programs_time(listen):
    talk = listen((0.5, b"one\n"), (3600.0, None), (0.5, ENDED + b"{}\n"))
    assert not talk.trouble and talk.output == b"one\n"


def test_a_program_that_does_not_end_is_late(listen):
    assert listen(*itertools.repeat((None, None), 6)).trouble == sandbox.LATE


def test_time_in_which_it_prints_counts(listen):
    assert listen(*itertools.repeat((0.9, b"x\n"), 6), (None, None)).trouble == sandbox.LATE


def test_time_in_which_it_does_not_read_what_it_asked_for_counts(listen):
    asked = []
    talk = listen((0.0, 3 * (sandbox.ASKS + b"1\n")), serve=asked.append)
    assert talk.trouble == sandbox.LATE and asked == [1]


@pytest.mark.parametrize("size", [1, spawn.PIECE, 10 * spawn.PIECE])
def test_a_long_answer_comes_whole_to_who_reads_it(size):
    box = SimpleNamespace(spawned=lambda: cat)
    cat = spawn.HostProcess(["cat"], dict(os.environ))
    try:
        sandbox._tell(box, sandbox._Talk("/folder", left=HANG_S), size * b"x")
        told = b""
        while len(told) < size:
            told += cat.read(HANG_S)
    finally:
        cat.stop(grace_s=0)
    assert told == size * b"x"


@pytest.mark.parametrize("most", [spawn.PIECE, 1 << 20])
def test_who_does_not_read_is_told_no_more_than_there_is_room_for(most):
    sleeps = spawn.HostProcess(["sleep", "600"], dict(os.environ))
    talk = sandbox._Talk("/folder", left=0.0 if most > spawn.PIECE else HANG_S)
    try:
        sandbox._tell(SimpleNamespace(spawned=lambda: sleeps), talk, most * b"x")
    finally:
        sleeps.stop(grace_s=0)
    assert talk.trouble == (sandbox.LATE if most > spawn.PIECE else "")


def test_what_is_printed_behind_the_last_line_is_nobodys(listen):
    talk = listen((0.0, b"one\n" + ENDED + b'{"status": 3}\nlate\n'))
    assert (talk.status, talk.output) == (3, b"one\n")


def test_a_question_of_brackets_without_end_is_output(listen):
    asked = sandbox.ASKS + b"[" * 100_000 + b"\n"
    assert listen((0.0, asked), (0.0, ENDED + b"{}\n"), serve=str).output == asked


def ended(bound, argv, before="true", **job):
    """What launch.py says of a program, where a shell has taken something from it before."""
    whole = {"argv": argv, "environment": dict(os.environ), "memory_mib": 1024, "processes": None, "files": {}}
    head = json.dumps(whole | {"input": "", "secret": "s"} | job).encode()
    ran = subprocess.run(
        [*bound, "sh", "-c", f'{before}; exec "$@"', "sh", sys.executable, "-c", sandbox.LAUNCH],
        input=b"%010d" % len(head) + head,
        capture_output=True,
        check=True,
    )
    return json.loads(ran.stdout.rpartition(sandbox.ENDED + b"s")[2])


@pytest.mark.parametrize("less", ["ulimit -v 921600", "ulimit -f 8"])
def test_a_machine_that_allows_less_runs_a_program(bound, less):
    assert ended(bound, ["true"], less).keys() == {"status", "seconds"}


@pytest.mark.parametrize("argv", [["nowhere"], ["/etc/passwd"], ["/etc/passwd/x"], ["a\0b"]])
def test_what_is_not_there_is_the_learners(bound, argv):
    assert "failed" in ended(bound, argv)


@pytest.mark.linux
def test_what_keeps_a_program_from_starting_is_the_machines(bound):
    assert "kept" in ended(bound, ["true"], memory_mib=-1 << 44)
    assert "kept" in ended(bound, ["true"] + 40 * ["x" * 100_000])


def test_a_program_that_was_kept_from_starting_is_no_mistake(monkeypatch):
    spawned = Spawned(
        monkeypatch, [(0.0, sandbox.ENDED + b'{"status": 127, "kept": "true: Cannot allocate memory"}\n')]
    )
    spawned.send = lambda data: None
    monkeypatch.setattr(sandbox.secrets, "token_hex", lambda size: "")
    spawned.folder, spawned.environment, spawned.processes, spawned.end = "/folder", {}, None, lambda: None
    box = SimpleNamespace(start=lambda limits: spawned, python="python3")
    with pytest.raises(BoxlabError, match="Cannot allocate memory"):
        sandbox.run(box, ["true"], {})
