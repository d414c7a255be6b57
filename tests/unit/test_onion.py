"""The layers around a process: what counts as their time, and which containerd is the engine's. Nothing real is started."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from boxlab import engine, images, interrupts, rootfs
from boxlab.errors import Unavailable
from boxlab.runtimes import Box, Observation, Workload, kernel_events, onion
from boxlab.runtimes.kernel_events import Events, Exec

IMAGE = images.Built("workload", "t", "sha256:1", {"A": "b"}, ["python3", "app.py"], "/app", {}, False)


def test_what_is_removed_after_a_tool_is_nobodys_time(monkeypatch):
    """The clean-up waits for an event that comes only after the box's end was timed."""
    order = []
    monkeypatch.setattr(onion.time, "monotonic", lambda: float(len(order)))
    process = onion._Cleaned(["true"], {"PATH": "/usr/bin:/bin"}, lambda: order.extend("cleaned"))
    took = Box("k", SimpleNamespace(), process, {}, "").stop()
    assert took == 0 and "".join(order) == "cleaned"


def test_a_tool_that_is_not_there_is_cleaned_up_after():
    cleaned = []
    with pytest.raises(FileNotFoundError):
        onion._Cleaned(["/no/such/tool"], {}, lambda: cleaned.append(1))
    assert cleaned == [1]


@pytest.mark.parametrize("layer", [onion.OCIRuntime("runc"), onion.Grouped(kind="g", label="g"), onion.Containerd()])
def test_what_a_record_says_starts_no_program(layer, monkeypatch):
    """It is asked within the time in which the processor's work is counted."""
    layer._version = "runc version 1.3"
    for name in ("run", "Popen"):
        monkeypatch.setattr(subprocess, name, lambda *_, **__: pytest.fail("a program was started"))
    layer.details()


def test_the_docker_command_uses_our_engine(monkeypatch):
    started = []
    monkeypatch.setattr(onion.HostProcess, "__init__", lambda self, argv, environment: started.append(environment))
    monkeypatch.setattr(engine.client, "endpoint", lambda: engine.client.Endpoint("unix:///ours"))
    command = onion.Command()
    command._image = IMAGE
    command._spawn(Workload())
    assert started[0]["DOCKER_HOST"] == "unix:///ours"


@pytest.fixture
def sockets(monkeypatch, tmp_path):
    """Two containerds; the function says which of them, if any, knows the engine's container."""
    found = [tmp_path / "one.sock", tmp_path / "other.sock"]
    for socket in found:
        socket.touch()
    stopped = []
    probe = SimpleNamespace(id="c0ffee", stop=lambda grace_s: stopped.append(grace_s))  # noqa: PLW0108  # called by name
    monkeypatch.setattr(onion, "CONTAINERD_SOCKETS", tuple(found))
    monkeypatch.setattr(onion, "EngineContainer", lambda *_, **__: probe)
    monkeypatch.setattr(onion.engine, "is_local", lambda: True)
    monkeypatch.setattr(onion.engine, "connect", lambda: SimpleNamespace(info=dict))

    def knows(known):
        def run(command, **options):
            assert command[-3:] == ["container", "info", "c0ffee"]
            return SimpleNamespace(returncode=0 if known and str(known) in command else 1)

        monkeypatch.setattr(onion.subprocess, "run", run)
        return found

    yield knows
    assert stopped in ([], [0])


def test_the_containerd_that_knows_the_engines_container_is_the_engines(sockets):
    _, other = sockets(None)
    sockets(other)
    assert onion._containerd_of_the_engine(IMAGE) == other


def test_an_engine_whose_containerd_is_out_of_reach_is_told_apart_from_another(sockets):
    sockets(None)
    with pytest.raises(Unavailable, match="no containerd that we can reach knows"):
        onion._containerd_of_the_engine(IMAGE)


def test_an_engine_on_another_machine_has_its_containerd_there(sockets, monkeypatch):
    monkeypatch.setattr(onion.engine, "is_local", lambda: False)
    with pytest.raises(Unavailable, match="on another machine"):
        onion._containerd_of_the_engine(IMAGE)


def test_of_two_containers_that_start_at_once_only_ours_is_timed():
    events = Events(
        [
            Exec(1.0, 10, "containerd-shim-runc-v2 -id other"),
            Exec(2.0, 11, "containerd-shim-runc-v2 -id ours"),
            Exec(2.5, 20, "python3 app.py"),
            Exec(3.0, 21, ""),
            Exec(3.5, 21, "python3 app.py"),
        ],
        {10: 4.0, 11: 5.0},
    )
    ours = Observation({}, [21], "ours")
    assert events.began("shim", 0, ours) == 2.0 and events.ended("shim", 0, ours) == 5.0
    assert events.began("python3", 0, ours) == 3.5 and events.ended("python3", 0, ours) is None
    assert events.began("runc create", 0, ours) is None
    events.lost = True
    assert events.began("shim", 0, ours) is None


def test_a_new_engine_makes_the_network_between_the_runtimes_two_commands(monkeypatch):
    from importlib import import_module

    experiment = import_module("boxlab.experiments.onion")
    runtime, seen = experiment._EngineLayer("none"), Observation({}, [], "ours")
    box = SimpleNamespace(console=SimpleNamespace(t0=0.0), observe=lambda: seen)
    events = Events([Exec(1.0, 11, "libnetwork-setkey ours")])
    pretended = lambda thing: lambda *_: interrupts.contextmanager(lambda: (yield thing))()  # noqa: E731
    monkeypatch.setattr(kernel_events, "watch", pretended(events))
    runtime.start = pretended(box)
    assert experiment._as_this_engine_has_them(runtime, Workload()) == experiment.ENGINE_PHASES
    events.execs.clear()
    phases = experiment._as_this_engine_has_them(runtime, Workload())
    assert list(phases) == ["created", "attached", "shim", "runc", "made", "start", "exec", "app", "ready"]
    assert phases["made"] == experiment.ENGINE_PHASES["hook"] and phases["start"] == "network"


def test_files_of_the_layers_are_not_written_to():
    """Each start is as fresh as that of a container: by hand these tools mount them read-only."""
    containerd = onion.Containerd()
    containerd._image, containerd._ctr = IMAGE, ["ctr"]
    started = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onion.HostProcess, "__init__", lambda self, argv, environment: started.append(argv))
        patch.setattr(rootfs, "directory", lambda image: Path("/files"))
        containerd._spawn(Workload())
    assert "--read-only" in started[0]
