"""Talking to a QEMU that is only pretended."""

import contextlib
import json
import os
import socket
import threading
from pathlib import Path

import pytest

from boxlab import images, paths, rootfs
from boxlab.errors import NotReady
from boxlab.runtimes import qemu, snapshot

HANGS_UP_S = 10

IMAGE = images.Built("workload", "t", "sha256:1", {}, ["python3", "app.py"], "/app", {}, False)


class Pretended:
    """A QEMU that greets and answers `answers` commands, and nothing after that."""

    def __init__(self, answers, hangs_up, handle):
        self.times, self._stopped = {}, threading.Event()
        self._socket = socket.socket(fileno=os.dup(handle))
        self._thread = threading.Thread(target=self._talk, args=[answers, hangs_up])
        self._thread.start()

    def _talk(self, answers, hangs_up):
        with self._socket, contextlib.suppress(BrokenPipeError):
            version = {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}
            self._say({"QMP": {"version": version, "capabilities": []}})
            for _number in range(1 + answers):
                asked = b""
                while not asked.endswith(b"}"):  # before it, a byte may come with a file
                    if not (more := self._socket.recv(1 << 16)):
                        return
                    asked += more
                self._say({"return": {}} | {key: value for key, value in json.loads(asked).items() if key == "id"})
            self._stopped.wait(0 if hangs_up else HANGS_UP_S)

    def _say(self, message):
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def stop(self, grace_s):
        self._stopped.set()
        self._thread.join()


@pytest.fixture
def resume(monkeypatch, tmp_path):
    """Resumes a snapshot by a QEMU that answers so many commands."""

    def resumed(answers, hangs_up=False):
        started = []

        def start(command, pass_fds):
            started.append(Pretended(answers, hangs_up, *pass_fds))
            return started[0]

        monkeypatch.setattr(paths, "CACHE", tmp_path)
        monkeypatch.setattr(paths, "SCRATCH", tmp_path / "scratch")
        monkeypatch.setattr(qemu, "started", start)
        monkeypatch.setattr(qemu, "architecture", lambda: "x86_64")
        monkeypatch.setattr(qemu, "tsc_khz", lambda: 2000000)
        disk = rootfs.Disk(tmp_path / "d.img", IMAGE, rootfs.TINY_INIT)
        kernel = rootfs.Kernel(Path("/vmlinux-6.1"), "6.1", Path("/initrd.img"))
        guest = snapshot._Resumable(disk, kernel, "tcg", 1, 256, folder=tmp_path, resumes=True, deadline_s=0.5)
        guest.state.write_bytes(b"")
        guest.resume()

    return resumed


@pytest.mark.parametrize("answers", range(4))
def test_a_qemu_that_answers_no_more_is_given_up(resume, answers):
    with pytest.raises(NotReady, match="does not save or resume: no answer"):
        resume(answers)


@pytest.mark.parametrize("answers", [2, 3])
def test_a_qemu_that_ends_as_it_is_resumed_is_a_failure(resume, answers):
    with pytest.raises(NotReady, match="does not save or resume"):
        resume(answers, hangs_up=True)
