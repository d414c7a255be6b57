import os
import pty
import sys

import command

from boxlab import progress

DRAW = "from boxlab import progress\nwith progress.bar('x', total=2) as bar: bar.update(); bar.update()"


def test_a_notebooks_bar_is_drawn_on_the_terminal_of_the_build():
    """The kernel that a build starts is in a session of its own and has no controlling terminal."""
    ours, theirs = pty.openpty()
    environment = os.environ | {progress.TERMINAL: os.ttyname(theirs)}
    assert command.run(sys.executable, "-c", DRAW, env=environment, start_new_session=True).returncode == 0
    assert b"x:" in os.read(ours, 4096)


def test_a_terminal_that_is_gone_and_an_empty_one_are_silent(monkeypatch, capfd):
    for path in ("/dev/no-such-terminal", ""):
        monkeypatch.setenv(progress.TERMINAL, path)
        with progress.bar("x", total=1) as bar:
            bar.update()
    assert capfd.readouterr() == ("", "")


def test_a_line_goes_to_the_terminal_of_the_build_to_the_error_output_or_nowhere(monkeypatch, capfd):
    monkeypatch.delenv(progress.TERMINAL, raising=False)
    progress.say("waiting")
    assert capfd.readouterr() == ("", "waiting\n")
    ours, theirs = pty.openpty()
    monkeypatch.setenv(progress.TERMINAL, os.ttyname(theirs))
    progress.say("waiting")
    assert os.read(ours, 4096).strip() == b"waiting"
    for path in ("/dev/no-such-terminal", ""):
        monkeypatch.setenv(progress.TERMINAL, path)
        progress.say("waiting")
    assert capfd.readouterr() == ("", "")


def test_a_log_has_a_line_for_each_step_before_it_is_done(monkeypatch, capfd):
    monkeypatch.delenv(progress.TERMINAL, raising=False)
    for number in progress.steps("counting", [1, 2], str):
        assert capfd.readouterr().err == f"counting: {number}\n"


def test_where_no_thread_is_allowed_nothing_is_said_and_all_goes_on(monkeypatch):
    def refused(_timer):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(progress.threading.Timer, "start", refused)
    went_on = False
    with progress.waiting("the engine, without a thread"):
        went_on = True
    assert went_on


def test_a_notebook_is_not_told_at_once(monkeypatch):
    """What is said would stand in the stored outputs, with this machine's address of the engine."""
    after = []

    class Timer:
        def __init__(self, seconds, say, what):
            after.append(seconds)

        start = cancel = lambda self: None

    monkeypatch.setattr(progress.threading, "Timer", Timer)
    for notebook in (True, False):
        monkeypatch.setattr(progress, "_in_notebook", lambda notebook=notebook: notebook)
        with progress.waiting("a slow engine"):
            pass
    assert after == [progress.NOTEBOOK_S, 1]
