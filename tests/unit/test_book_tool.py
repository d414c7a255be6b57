"""tools/book.py where its output or its terminal is not what it should be; what it renders is tested with the book."""

import errno
import fcntl
import importlib.util
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from boxlab import paths, progress
from boxlab.labs import runner

TOOL = paths.ROOT / "tools" / "book.py"


@pytest.fixture
def at_work(tmp_path):
    """Another one is at work in the folder: that it waits for it is what the tool says first."""
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield os.environ | {"BOOK_OUT": str(tmp_path)}


@pytest.mark.linux
def test_an_output_that_is_full_is_named(at_work):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([sys.executable, TOOL], stdout=full, stderr=subprocess.PIPE, text=True, env=at_work)
    assert ended.returncode == 3
    assert re.fullmatch(r"book: the standard output: No space left on device\n  fix: .*\n", ended.stderr)


def test_a_reader_that_has_gone_is_no_error(at_work):
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run([sys.executable, TOOL], stdout=writing, stderr=subprocess.PIPE, text=True, env=at_work)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")


def loaded():
    spec = importlib.util.spec_from_file_location("book_tool", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.mark.parametrize("age", [100, -100], ids=["newest", "oldest"])
def test_what_a_file_browser_leaves_beside_what_was_measured_neither_counts_nor_goes(monkeypatch, tmp_path, age):
    tool = loaded()
    monkeypatch.setattr(tool, "MEASURED", tmp_path)
    for number in range(tool.KEPT):
        (tmp_path / str(number)).mkdir()
        os.utime(tmp_path / str(number), (0, number))
    stray = tmp_path / ".DS_Store"
    stray.touch()
    os.utime(stray, (0, age))
    tool.keep(tmp_path / "now")
    assert {path.name for path in tmp_path.iterdir()} == {".DS_Store", "now", *map(str, range(1, tool.KEPT))}


def kernels_terminal():
    return loaded().kernel_environment()[progress.TERMINAL]


@pytest.mark.parametrize("terminal", [kernels_terminal, runner._terminal])
def test_a_terminal_without_a_name_here_is_none(monkeypatch, terminal):
    """As where /dev/pts is not the one that it was opened in."""

    def nameless(_descriptor):
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    ours, theirs = pty.openpty()
    monkeypatch.delenv(progress.TERMINAL, raising=False)
    with os.fdopen(ours), os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert terminal() == os.ttyname(theirs)
        monkeypatch.setattr(os, "ttyname", nameless)
        assert terminal() == ""


def test_a_disk_without_locks_and_a_file_that_stays_are_no_obstacle(monkeypatch, tmp_path):
    """As on a network's disk."""
    tool = loaded()
    monkeypatch.setattr(tool, "OUT", tmp_path)
    monkeypatch.setattr(tool, "TEMPORARY", tmp_path / "tmp")
    monkeypatch.setattr(
        tool.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "No locks available"))
    )
    monkeypatch.setattr(tool.shutil, "rmtree", lambda *_, **__: None)
    (tmp_path / "tmp").mkdir()
    with tool.alone(), tool.temporary_files():
        assert (tmp_path / "tmp").is_dir()


def test_a_second_interrupt_ends_what_would_clear_away_first(monkeypatch, tmp_path):
    tool = loaded()
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
    )
    real, asked = subprocess.Popen.communicate, []

    def communicate(process):
        asked.append(process)
        if len(asked) == 1:
            assert process.stdout.readline() == b"on\n"
        if len(asked) < 3:
            raise KeyboardInterrupt
        return real(process)

    monkeypatch.setattr(subprocess.Popen, "communicate", communicate)
    with pytest.raises(KeyboardInterrupt):
        tool.call([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert len(asked) == 3 and asked[0].returncode == -signal.SIGKILL
