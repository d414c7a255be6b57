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
