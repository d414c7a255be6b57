"""What lab 03 reads: the number and the price of a ticket, and whose it is."""

import contextlib
import importlib.util
import itertools
from random import Random
from types import SimpleNamespace

import pytest

from boxlab import paths
from boxlab.errors import NotReady
from boxlab.labs import Mismatch

_spec = importlib.util.spec_from_file_location("lab_03", paths.LABS / "03-replicas" / "checks.py")
lab_03 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab_03)


@pytest.mark.parametrize("price", ["25", "25.50", "€25"])
def test_a_ticket_is_read_with_its_price(price):
    assert lab_03.sold("Ada-1", f"Ada-1: ticket 12 for {price}\r") == (12, price)


@pytest.mark.parametrize(
    "line", ["", "Ada: ticket 1 for 25", "Ada-1: ticket one for 25", "Ada-1: ticket 1 for 25 each"]
)
def test_another_form_or_anothers_ticket_is_told(line):
    with pytest.raises(Mismatch) as told:
        lab_03.sold("Ada-1", line)
    assert told.value.actual == (line or "(nothing)")


class Slow:
    """A pretended replica, whose answers come one at a time."""

    def __init__(self, numbers):
        self.lines, self.spawned, self._numbers, self._asked = [], SimpleNamespace(send=self._send), numbers, []

    def _send(self, data):
        self._asked += data.decode().splitlines()

    def expect(self, pattern="", seconds=0):
        self.lines.append(f"{self._asked.pop(0)}: ticket {next(self._numbers)} for 25")
        return self.lines[-1]

    def ask(self, line, seconds, next=""):
        self._send(line.encode())
        return self.expect()


def test_each_ticket_has_a_patience_of_its_own(monkeypatch):
    numbers = itertools.count(1)
    monkeypatch.setattr(lab_03, "shared", lambda work: contextlib.nullcontext({}))
    monkeypatch.setattr(lab_03, "seller", lambda work, place: contextlib.nullcontext(Slow(numbers)))
    lab_03.replicas(SimpleNamespace(random=Random(0)))


class Sells:
    """A pretended replica, which prints each number before it is kept."""

    def __init__(self, kept, full, ask):
        self._kept, self._full, self._ask, self.kill = kept, full, ask, lambda: None

    def ask(self, line, seconds, next=""):
        number = self._kept["last"] + 1
        if self._full or self._kept.get("full"):
            self._kept["full"] = True
            self._ask(self._full)
        if not self._full:
            self._kept["last"] = number
        return f"{line}: ticket {number} for 25"


def locked(full):
    raise Mismatch("a line", "silent", "", "") from NotReady("silent", hung=not full)


@pytest.mark.parametrize(
    ("ask", "actual", "why", "next"),
    [
        (lambda full: None, "", "was sold twice", "print the answer only then"),
        (locked, "silent", "was sold", "`fcntl.flock`"),
    ],
)
def test_who_fails_on_a_full_disk_is_told_how(monkeypatch, ask, actual, why, next):
    kept = {"last": 0}
    monkeypatch.setattr(lab_03, "shared", lambda work: contextlib.nullcontext({}))
    monkeypatch.setattr(
        lab_03,
        "seller",
        lambda work, place, **options: contextlib.nullcontext(Sells(kept, bool(options), ask)),
    )
    with pytest.raises(Mismatch) as told:
        lab_03.continues(SimpleNamespace(random=Random(0)))
    assert actual in told.value.actual and why in told.value.why and next in told.value.next
