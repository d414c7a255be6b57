"""One at a time, whoever waits for whom; on files that others may have laid as a trap."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from boxlab import turns
from boxlab.errors import BoxlabError

HOLD = """
import sys
from boxlab import turns
turns.PLACES = (sys.argv[1],)
with turns.turn("measuring", "it is our turn"):
    print("mine", flush=True)
    sys.stdin.read()
"""


def other(*options):
    command = [sys.executable, "-c", HOLD, turns.PLACES[0]]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **dict(options)
    )


def test_who_waits_says_for_whom_and_goes_on_when_that_ends():
    with turns.turn("measuring", "it is our turn"):
        environment = {name: value for name, value in os.environ.items() if name not in (turns.HELD, "BOXLAB_TERMINAL")}
        waiting = other(("env", environment))
        line = waiting.stderr.readline()
        assert f"waiting until it is our turn: the checkout {turns.paths.ROOT}, process {os.getpid()}, since " in line
    with waiting:
        assert waiting.stdout.readline() == "mine\n"
        waiting.stdin.close()
        assert waiting.stderr.read() == ""
    assert waiting.returncode == 0
    assert os.listdir(turns.PLACES[0]) == []


def test_the_turn_of_a_process_that_was_killed_is_free():
    with other() as holder:
        assert holder.stdout.readline() == "mine\n"
        with pytest.raises(turns.Held, match=f"process {holder.pid}"):
            turns.take("measuring")
        holder.kill()
    with turns.turn("measuring", "it is our turn"):
        pass


def test_files_of_those_who_were_killed_go_and_those_of_others_stay(tmp_path):
    with other() as holder:
        assert holder.stdout.readline() == "mine\n"
        holder.kill()
    (tmp_path / "precious").write_text("")
    link = turns._path("link")
    link.symlink_to(tmp_path / "precious")
    mine = turns.take("mine")
    turns.forget_dead()
    assert set(link.parent.iterdir()) == {turns._path("mine"), link}
    with pytest.raises(turns.Held):
        turns.take("mine")
    turns.give("mine", mine)


def test_who_waits_can_be_interrupted():
    environment = {name: value for name, value in os.environ.items() if name != "BOXLAB_TERMINAL"}
    with turns.turn("measuring", "it is our turn"):
        without = {name: value for name, value in environment.items() if name != turns.HELD}
        with other(
            ("env", without), ("preexec_fn", lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
        ) as waiting:
            assert "waiting" in waiting.stderr.readline()
            waiting.send_signal(signal.SIGINT)
            assert "KeyboardInterrupt" in waiting.stderr.read()
        assert waiting.returncode == -signal.SIGINT


def test_who_has_the_turn_and_what_it_starts_does_not_wait_for_itself():
    with turns.turn("measuring", "it is our turn"):
        with turns.turn("measuring", "it is our turn"):
            pass
        with other() as child:
            assert child.stdout.readline() == "mine\n"
            child.stdin.close()
        with pytest.raises(turns.Held):
            turns.take("measuring")
    os.close(turns.take("measuring"))


def test_a_disk_without_room_for_a_note_keeps_nobody_from_a_turn(monkeypatch):
    def full(*_arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with turns.turn("measuring", "it is our turn"), pytest.raises(turns.Held, match="another checkout"):
        turns.take("measuring")


def test_two_turns_are_two():
    with turns.turn("measuring", "it is our turn"), turns.turn("images", "they are built"):
        pass
    assert not os.environ[turns.HELD]


def test_every_user_can_use_the_file():
    before = os.umask(0o077)
    try:
        handle = turns.take("measuring")
    finally:
        os.umask(before)
    assert os.fstat(handle).st_mode & 0o777 == 0o666
    turns.give("measuring", handle)


@pytest.mark.parametrize("trap", ["link", "dangling link", "hard link", "folder", "pipe"])
def test_what_another_user_has_laid_there_is_not_touched(tmp_path, trap):
    victim, path = tmp_path / "victim", turns._path("measuring")
    if trap != "dangling link":
        victim.write_text("precious")
    if trap in ("link", "dangling link"):
        path.symlink_to(victim)
    elif trap == "hard link":
        os.link(victim, path)
    elif trap == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(BoxlabError, match=r"measuring\.lock") as caught:
        turns.take("measuring")
    assert caught.value.fix and "\n" not in caught.value.args[0]
    assert (trap == "dangling link" and not victim.exists()) or victim.read_text() == "precious"


def test_where_nothing_can_be_shared_it_is_said(monkeypatch):
    monkeypatch.setattr(turns, "PLACES", ("/nowhere", ""))
    with pytest.raises(BoxlabError, match="take turns"):
        turns.take("measuring")
