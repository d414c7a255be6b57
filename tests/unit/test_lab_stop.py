"""What lab 12 reads: whether a process can hear a signal, and which words a file has kept."""

import importlib.util
import signal
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from boxlab import paths
from boxlab.labs import BoxlabError

_spec = importlib.util.spec_from_file_location("lab_12", paths.LABS / "12-stop" / "checks.py")
lab_12 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab_12)

SHELL = """Name:\tsh
SigQ:\t0/30000
SigBlk:\t0000000000000000
SigIgn:\t0000000000000000
SigCgt:\t0000000000010002
"""
"""As of a shell that waits for its child: it handles SIGINT and SIGCHLD."""


def own_status() -> str:
    return Path("/proc/self/status").read_text()


@pytest.mark.parametrize(
    ("told", "heard"), [("SIGTERM", False), ("15", False), ("SIGINT", True), ("INT", True), ("2", True)]
)
def test_a_shell_hears_what_it_handles(told, heard):
    assert lab_12.hears(SHELL, told) == heard


@pytest.mark.parametrize(
    ("told", "number"),
    [
        *[("SIGQUIT", 3), ("QUIT", 3), ("quit", 3), ("3", 3), ("SIGNOTHING", 0)],
        *[("SIGRTMIN+3", 37), ("rtmin", 34), ("RTMAX-1", 63)],
    ],
)
def test_a_signal_has_its_number_however_an_image_names_it(told, number):
    assert lab_12.numbered(told) == number


@pytest.mark.parametrize("status", ["", "Name:\tsh\n", "cat: /proc/1/status: no such file\n"])
def test_what_cannot_be_read_may_hear(status):
    assert lab_12.hears(status, "SIGTERM")


def test_a_signal_that_is_not_known_may_be_heard():
    assert lab_12.hears(SHELL, "SIGNOTHING")


@pytest.mark.linux  # reads /proc
def test_a_process_hears_what_has_a_handler():
    assert not lab_12.hears(own_status(), "SIGUSR2")
    before = signal.signal(signal.SIGUSR2, lambda *_: None)
    try:
        assert lab_12.hears(own_status(), "SIGUSR2")
    finally:
        signal.signal(signal.SIGUSR2, before)


@pytest.mark.linux  # reads /proc
def test_a_process_hears_what_it_keeps_waiting():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        assert lab_12.hears(own_status(), "SIGUSR2")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.parametrize(
    ("saved", "kept"),
    [
        ("a\nb\n", "ab"),
        ("good\na\nhealth\nb\nhealth\n", "ab"),
        ("b\na\n", "ab"),
        ("a\na\nb\n", "aab"),
        ("a b\n", ""),
        ("", ""),
    ],
)
def test_of_a_file_each_word_counts_as_often_as_it_is_there(saved, kept):
    assert lab_12.kept(saved, Counter("ab")) == Counter(kept)


@pytest.mark.parametrize(
    ("states", "seen"),
    [
        (["unhealthy"], "unhealthy"),
        (["healthy", "healthy", "healthy", "healthy", "unhealthy"], "unhealthy"),
        (["healthy"] * 20, "healthy"),
        ([""], ""),
    ],
)
def test_a_service_has_some_seconds_to_turn(monkeypatch, states, seen):
    left, clock = iter(states), iter(range(100))
    monkeypatch.setattr(lab_12, "checked", lambda box: (next(left), ""))
    monkeypatch.setattr(lab_12.time, "monotonic", lambda: next(clock))
    assert lab_12.turned(None, "unhealthy")[0] == seen


@pytest.mark.parametrize(
    ("states", "controlled"), [(["healthy", "healthy"], False), (["healthy", "unhealthy"], True), (["unhealthy"], True)]
)
def test_who_is_not_healthy_though_it_should_be_is_told_only_where_a_service_that_is_right_is(
    monkeypatch, states, controlled
):
    def control(work):
        raise BoxlabError("a service that is right is not healthy here", "")

    box = SimpleNamespace(write=lambda path, text: None, freeze=lambda: None)
    work = SimpleNamespace(
        lasting=lambda image, **options: nullcontext(box), text=lambda name: '{"good": 1}', random=Random(1)
    )
    left = iter(states)
    pretended = {
        "image": lambda work: None,
        "ready": lambda work, box: None,
        "turned": lambda box, wanted: (next(left) if wanted == "healthy" else "unhealthy", ""),
        "require_control": control,
    }
    for name, function in pretended.items():
        monkeypatch.setattr(lab_12, name, function)
    with pytest.raises(BoxlabError) if controlled else nullcontext():
        lab_12.pulse.__wrapped__(work)


def test_the_control_is_as_impatient_as_the_last_hint():
    hints = (paths.LABS / "12-stop" / "hints.md").read_text()
    assert "timeout=1)" in hints and "timeout=1)" in lab_12.CONTROL_HEALTH
