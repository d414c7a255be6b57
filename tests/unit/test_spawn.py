"""A container that ends while it is told to is what we want, and whatever else the engine says is not."""

import errno
import os
import signal
from types import SimpleNamespace

import docker.errors
import pytest

from boxlab.errors import EngineError
from boxlab.runtimes import spawn


class Engine:
    """Refuses to signal a container, in the words of one engine or another."""

    def __init__(self, words):
        self.words, self.waited = words, []

    def kill(self, container, signal):
        raise docker.errors.APIError("500", SimpleNamespace(status_code=500, reason="", url=""), self.words)

    def wait(self, container, timeout, condition):
        self.waited.append(condition)


def container(words):
    made = object.__new__(spawn.EngineContainer)
    made._api, made._attached, made.id = Engine(words), None, "a23c"
    return made


@pytest.mark.parametrize(
    "words",
    [
        "sending signal to container a23c: `/usr/bin/crun kill a23c 15` failed: exit status 1",
        "can only kill running containers. a23c is in state stopping: container state improper",
        "sandbox is not running",
    ],
)
def test_a_container_that_ends_as_it_is_signalled_is_waited_for(words):
    ending = container(words)
    ending.stop()
    assert ending._api.waited == ["removed"]


def test_any_other_refusal_is_told():
    with pytest.raises(EngineError, match="no permission"):
        container("no permission").stop()


def test_a_process_that_has_ended_is_stopped_also_where_no_signal_to_it_is_permitted(monkeypatch):
    """As on macOS, where only a zombie is left of its group."""
    stopped = spawn.HostProcess(["true"], {"PATH": os.environ["PATH"]})
    while stopped.read(spawn.STOP_S):
        pass

    def refuse(_leader, _signal):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "killpg", refuse)
    stopped.stop()
    assert stopped.exit_reason() == "exit status 0"


def test_a_container_that_comes_to_be_as_we_are_told_to_end_does_not_stay(monkeypatch):
    there = []

    class Interrupted:
        create_host_config = staticmethod(dict)

        def create_container(self, *_arguments, **_options):
            there.append("a23c")
            signal.raise_signal(signal.SIGINT)  # before we know of it
            return {"Id": "a23c"}

        def remove_container(self, container, **_options):
            there.remove(container)

        def wait(self, container, **_options):
            pass

    monkeypatch.setattr(spawn.engine, "connect", lambda: SimpleNamespace(api=Interrupted()))
    with pytest.raises(KeyboardInterrupt):
        spawn.EngineContainer("image")
    assert there == []
