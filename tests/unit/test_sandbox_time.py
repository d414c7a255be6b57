"""What counts of the time that a program may take, and what of what it prints: without a program."""

import itertools

import pytest

from boxlab.labs import sandbox

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


def test_what_is_printed_behind_the_last_line_is_nobodys(listen):
    talk = listen((0.0, b"one\n" + ENDED + b'{"status": 3}\nlate\n'))
    assert (talk.status, talk.output) == (3, b"one\n")


def test_a_question_of_brackets_without_end_is_output(listen):
    asked = sandbox.ASKS + b"[" * 100_000 + b"\n"
    assert listen((0.0, asked), (0.0, ENDED + b"{}\n"), serve=str).output == asked
