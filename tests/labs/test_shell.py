"""`boxlab shell`: the machine of a lab on the learner's own terminal."""

import sys

import pytest
from click.testing import CliRunner
from pseudo_terminal import Terminal

from boxlab import cli, paths, sweep, waiting
from boxlab.labs import lab, workspace

AROUND = 'before=$(stty -g); "$0" shell 05; echo "status $?"; test "$before" = "$(stty -g)" && echo "as it was"'
LEFT, END = "\x1d", "\x04"


@pytest.fixture
def by_hand(tmp_path, monkeypatch):
    """A learner's copy of lab 05, with the solution in it."""
    monkeypatch.setattr(paths, "WORK", tmp_path)
    chosen = lab.find("05")
    workspace.start(chosen)
    (tmp_path / chosen.id / "container.py").write_bytes((chosen.solution / "container.py").read_bytes())
    script = f"from pathlib import Path\nfrom boxlab import __main__, paths\npaths.WORK = Path({str(tmp_path)!r})\n__main__.main()"
    wrapper = tmp_path / "boxlab"
    wrapper.write_text(f"#!{sys.executable}\n{script}\n")
    wrapper.chmod(0o755)
    return str(wrapper)


def nothing_runs():
    waiting.until(lambda: not sweep.processes())


def test_the_machine_has_the_learners_files_and_ends_with_its_shell(by_hand):
    with Terminal(["bash", "-c", AROUND, by_hand]) as terminal:
        terminal.expect("Ctrl-D ends it")
        terminal.expect("machine# ")
        terminal.type("python3 container.py /mnt mine 64000000 16 sh\r")
        terminal.expect("machine# ")
        terminal.type("echo number $$, called $(hostname)\r")
        terminal.expect("number 1, called mine")
        terminal.type("python3 -c 'bytearray(100 << 20)'; echo status $?\r")
        terminal.expect("status 137")
        terminal.expect("machine# ")  # of the container's shell: it has the same prompt
        terminal.type(END)
        terminal.expect("machine# ")
        terminal.type("sh -c 'echo now $((6 * 7)); exec sleep 1000'\r")
        terminal.expect("now 42")  # it is in front: a Ctrl-C before that is the shell's
        terminal.type("\x03")
        terminal.expect("machine# ")
        terminal.type(END)
        terminal.expect("status 0")
        terminal.expect("as it was")
        assert terminal.status() == 0
    nothing_runs()


def test_one_that_hangs_is_left(by_hand):
    with Terminal(["bash", "-c", AROUND, by_hand]) as terminal:
        terminal.expect("machine# ")
        terminal.type("trap '' INT; echo now $((6 * 7)); cat\r")
        terminal.expect("now 42")
        terminal.type(LEFT)
        terminal.expect("status 0")
        terminal.expect("as it was")
        assert terminal.status() == 0
    nothing_runs()


def test_without_a_terminal_it_says_so(by_hand):
    result = CliRunner().invoke(cli.main, ["shell", "05"])
    assert result.exit_code == 2 and "a shell needs a terminal" in result.output


def test_a_lab_without_a_machine_says_so(toy):
    workspace.start(toy)
    result = CliRunner().invoke(cli.main, ["shell", "01"])
    assert result.exit_code == 2 and "01-toy has no machine" in result.output
