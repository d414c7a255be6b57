"""How what is made once comes about and goes, and how files are unpacked, without an engine."""

import errno
import os
import subprocess
import sys

import pytest

from boxlab import images, paths, progress, rootfs
from boxlab.errors import BoxlabError, BuildError, Unavailable
from boxlab.runtimes import Process, Workload

USE = """
import sys
from pathlib import Path
from boxlab import paths, rootfs
paths.SCRATCH = Path(sys.argv[1]).parent / "scratch"
print(rootfs.made_once(Path(sys.argv[1]), "disk", sys.argv[2], Path.touch), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "SCRATCH", tmp_path / "scratch")
    monkeypatch.setenv(progress.TERMINAL, "")


def test_an_older_version_stays_as_long_as_another_process_uses_it(tmp_path):
    """Two engines know the same image by two ids: whoever has one must not take away what is made of the other's."""
    folder = tmp_path / "disks"
    command = [sys.executable, "-c", USE, str(folder), "of one engine"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        used = other.stdout.readline().strip()
        ours = rootfs.made_once(folder, "disk", "of another engine", lambda path: path.touch())
        assert set(map(str, folder.glob("disk-*"))) == {used, str(ours)}
        other.stdin.close()
    newest = rootfs.made_once(folder, "disk", "of that engine, later", lambda path: path.touch())
    assert list(folder.glob("disk-*")) == [newest], "nobody else uses what was there"


def test_what_does_not_fit_on_the_disk_names_its_path(tmp_path):
    def make(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError) as caught:
        rootfs.made_once(tmp_path / "disks", "disk", "key", make)
    assert caught.value.filename.startswith(str(tmp_path / "scratch" / "disk-"))


FULL_DISK = """#!/bin/sh
exec timeout 10 sh -c "
    yes 'tar: app/file: Cannot write: No space left on device' | head -c 300000 >&2
    cat >/dev/null
    exit 2"
"""


@pytest.mark.linux  # has timeout
def test_a_full_disk_ends_the_unpacking_with_its_fix(tmp_path, monkeypatch):
    """Tar says so of each file, while we still write to it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tar").write_text(FULL_DISK)
    (tmp_path / "bin" / "tar").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    with pytest.raises(BoxlabError, match=r"files: No space left on device") as caught:
        rootfs._untar([b"x" * (1 << 20)] * 4, tmp_path / "files", "workload")
    assert caught.value.fix.startswith("make room on the disk")


@pytest.mark.linux
def test_files_that_cannot_be_unpacked_here_leave_out_the_process_alone(monkeypatch):
    def refused(image):
        raise BuildError("the files of workload could not be unpacked: Cannot change ownership", "see the disk")

    monkeypatch.setattr(images, "ensure", lambda name: None)
    monkeypatch.setattr(rootfs, "directory", refused)
    with pytest.raises(Unavailable, match="Cannot change ownership") as caught:
        Process().prepare(Workload())
    assert caught.value.fix == "see the disk"
