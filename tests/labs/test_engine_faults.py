"""What goes wrong with an engine, a build or a container has the right outcome, in clear words, and leaves nothing."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
import toy_lab

from boxlab import engine, images, paths, sweep
from boxlab.labs import Mismatch, Work, build, runner
from boxlab.labs.checks import Outcome
from boxlab.labs.work import Planter

TOML = """
title = "Build it"
minutes = 10
points = 2
needs = ["engine"]
files = ["answer.txt"]
starter_fails = "answers"
[wrong]
"""

CHECKS = """
import time
from boxlab.labs import check

@check(timeout=6)
def answers(work):
    'It answers.'
    with work.container("containers-measured/base", ["cat"]) as box:
        (work.folder.parent.parent / "running").write_text("")
        for _ in range(1000):
            box.ask("on")
            time.sleep(0.05)

@check()
def goes_on(work):
    'It goes on.'
"""


@pytest.fixture(scope="module", autouse=True)
def nothing_stays():
    """The base image is there; in the end no image, container or scratch file of these tests is."""
    images.ensure("base")
    yield
    sweep.remove_lab_images("99-toy")
    assert engine.connect().images.list(filters={"reference": f"{images.LAB_PREFIX}99-toy-*"}) == []
    assert sweep.of_run(engine.RUN) == []


@pytest.fixture
def work(places):
    folder = paths.SCRATCH / "lab" / "work"
    folder.mkdir(parents=True)
    return Work("99-toy", folder, folder, Planter(None, 0))


BUILDERS = ["the docker command", "BuildKit", "the engine's call"]


@pytest.fixture(params=BUILDERS)
def builder(request, monkeypatch):
    """Each way to build that there is here."""
    if request.param == "the docker command":
        monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    elif request.param == "BuildKit":
        folder = next((f for f in os.environ["PATH"].split(":") if _has_buildkit(f)), None)
        if not folder:
            pytest.skip("no BuildKit here")
        monkeypatch.setenv("DOCKER_BUILDKIT", "1")
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    else:
        monkeypatch.setattr(build.shutil, "which", lambda name: None)
    return request.param


def _has_buildkit(folder):
    """Whether the docker command of a folder can build by BuildKit: older ones bring it along, newer ones need buildx."""
    command = shutil.which("docker", path=folder)
    if not command:
        return False
    environment = os.environ | {"DOCKER_BUILDKIT": "1"}
    tried = subprocess.run([command, "build", "-"], input=b"no Dockerfile\n", capture_output=True, env=environment)
    return b"buildx component" not in tried.stderr


def dockerfile(work, *lines):
    (work.folder / "Dockerfile").write_text("\n".join([f"FROM {images.PREFIX}base", *lines]) + "\n")


def test_every_builder_builds_the_same_layers_above_the_base(work, builder):
    dockerfile(work, "COPY --chown=7 note /note", "RUN echo done > /done", 'CMD ["cat", "/note"]')
    (work.folder / "note").write_text("the note\n")
    image = work.build()
    with image.files() as files:
        contents = {path: content for _, path, content in files}
    assert contents["note"] == b"the note\n" and contents["done"] == b"done\n"
    assert 0 < image.added < 100_000
    assert image.common(work.build()) == len(image.layers)
    with work.container(image) as box:
        assert box.expect() == "the note"


def test_a_dockerfile_that_fails_is_a_mismatch_with_its_last_words(work, builder):
    dockerfile(work, "RUN echo what went wrong; exit 3")
    with pytest.raises(Mismatch) as caught:
        work.build()
    assert "what went wrong" in caught.value.actual or "exit 3" in caught.value.actual
    assert "DEPRECATED" not in caught.value.actual and "build context" not in caught.value.actual


def test_an_image_of_two_stages_has_the_layers_of_the_last(work, builder):
    dockerfile(work, "RUN echo once > /first", f"FROM {images.PREFIX}base", "COPY --from=0 /first /second")
    for _ in range(2):  # the second time, stages of the first have names
        with work.build().files() as files:
            assert [path for _, path, _ in files if not path.endswith("/")] == ["second"]


def test_an_image_without_the_base_or_a_command_says_so(work, builder):
    (work.folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    image = work.build()
    assert not image.on_base
    with pytest.raises(Mismatch, match="(?i)no command specified"), work.container(image):
        pass
    dockerfile(work, "RUN true")
    assert work.build().on_base


def test_a_dockerfile_that_is_none_is_a_mismatch(work, builder):
    (work.folder / "Dockerfile").write_text("NONSENSE\n")
    with pytest.raises(Mismatch, match="NONSENSE"):
        work.build()


def test_a_build_that_never_ends_is_a_mismatch_and_is_stopped(work, builder):
    dockerfile(work, "RUN echo begun && sleep 600")
    with pytest.raises(Mismatch) as caught:
        work.build(seconds=3)
    assert "ends within 3 s" in caught.value.expected and "sleep 600" in caught.value.actual
    deadline = time.monotonic() + toy_lab.HANG_S
    while (left := sleeping()) and time.monotonic() < deadline:  # the engine takes a moment to kill what it ran
        time.sleep(0.1)
    assert left == []


def sleeping():
    commands = subprocess.run(["ps", "-A", "-o", "command"], capture_output=True, text=True, check=True).stdout
    return [line for line in commands.splitlines() if line == "sleep 600"]


def test_a_build_that_prints_without_end_is_bounded_and_a_mismatch(work, builder):
    dockerfile(work, "RUN yes what a noise")
    with pytest.raises(Mismatch) as caught:
        work.build(seconds=2)
    assert len(caught.value.actual) < 3000


def test_a_disk_that_is_full_in_a_build_is_no_mistake_of_the_learners(work, builder):
    dockerfile(work, "RUN head -c 999999999 /dev/zero > /dev/shm/full")
    with pytest.raises(engine.EngineError, match="disk is full"):
        work.build()


def test_an_edit_of_a_dockerfile_leaves_nothing_of_the_old_images(work, monkeypatch):
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    client = engine.connect()
    for number in range(3):
        dockerfile(work, f"RUN echo {number} > /first", f"FROM {images.PREFIX}base", "COPY --from=0 /first /second")
        work.build()
        kept = {
            name
            for image in client.images.list(filters={"reference": f"{images.LAB_PREFIX}99-toy-*"})
            for name in image.tags
        }
        assert {name.rpartition(":")[2] for name in kept} == {"latest", "stage-0"}
    loose = client.images.list(filters={"dangling": True})
    assert [image for image in loose if "echo 2" in str(image.history()) or "echo 1" in str(image.history())] == []


CONTAINERS = {
    "exit status 3": "exit 3",
    "a further line did not come within 1 s; it printed nothing": "sleep 600",
    "a further line did not come within 1 s": "trap '' TERM INT HUP; sleep 600 & wait; sleep 600",
    "printed more than 1024 KiB": "tr '\\0' y < /dev/zero",
    "a further line did not come within 1 s; it printed nothing ": "exec python3 -c 'import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(1)'",
}


@pytest.mark.parametrize("words", CONTAINERS)
def test_a_container_that_does_not_answer_is_a_mismatch_and_goes(work, words):
    with (
        pytest.raises(Mismatch) as caught,
        work.container("containers-measured/base", ["sh", "-c", CONTAINERS[words]]) as box,
    ):
        box.ask("anybody there?", seconds=1)
    assert words.strip() in caught.value.actual
    assert sweep.of_run(engine.RUN) == []


def test_a_container_whose_command_is_not_there_is_a_mismatch(work):
    with pytest.raises(Mismatch, match="nowhere"), work.container("containers-measured/base", ["nowhere"]):
        pass


class Proxy:
    """A second way to the engine, which can be cut, or go silent."""

    def __init__(self, path: Path):
        self.address, self.silent = f"unix://{path}", False
        self._target = engine.host().removeprefix("unix://")
        self._sockets: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._target)
                self._sockets += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                while self.silent:
                    time.sleep(0.05)
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        self.silent = False
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def proxied(places, monkeypatch):
    """A lab that asks its container again and again, and the way to the engine that its checks use."""
    if not engine.host().startswith("unix://"):
        pytest.skip("the engine is not behind a socket here")
    path = places / "engine.sock"
    proxy = Proxy(path)
    toy = toy_lab.make(places / "labs", CHECKS, TOML)
    monkeypatch.setattr(runner, "END_S", 3)
    result = {}

    def check(environment: dict[str, str]):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        result["report"] = runner.run(toy, toy.starter, 1, run="0123456789ab")

    address = engine.host()
    engine.connect()
    yield proxy, check, result
    monkeypatch.setenv("DOCKER_HOST", address)
    proxy.cut()
    sweep.sweep_run("0123456789ab", True)


def test_an_engine_that_is_absent_is_infrastructure_in_one_line_with_its_fix(proxied):
    _, check, result = proxied
    check({"DOCKER_HOST": "unix:///nowhere/docker.sock"})
    report = result["report"]
    assert [r.outcome for r in report.results] == [Outcome.INFRASTRUCTURE] * 2
    text = report.to_text(width=200)
    assert text.count("no engine answers at unix:///nowhere/docker.sock") == 1 and text.count("start Docker") == 1
    assert "no fault of your answer" in text


@pytest.mark.parametrize("loss", ["cut", "silent"])
def test_an_engine_that_is_lost_in_the_middle_is_infrastructure(proxied, loss, monkeypatch):
    proxy, check, result = proxied
    host = engine.host()
    thread = threading.Thread(target=check, args=({"DOCKER_HOST": proxy.address},))
    thread.start()
    deadline = time.monotonic() + toy_lab.HANG_S
    while not (paths.SCRATCH / "running").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    if loss == "cut":
        proxy.cut()
    else:
        proxy.silent = True
    thread.join(60)
    assert not thread.is_alive()
    monkeypatch.setenv("DOCKER_HOST", host)
    outcomes = [r.outcome for r in result["report"].results]
    assert outcomes[0] == Outcome.INFRASTRUCTURE and Outcome.FAIL not in outcomes
    assert "engine" in result["report"].results[0].reason


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_check_that_is_interrupted_or_killed_leaves_no_container(places, number):
    toy_lab.make(places / "labs", CHECKS, TOML)
    client = engine.connect()

    def ours():
        """Containers of the lab's check; others may be measuring here as well."""
        found = client.containers.list(all=True, filters={"label": engine.RUN_LABEL}, ignore_removed=True)
        return {container.id for container in found if container.attrs["Config"]["Cmd"] == ["cat"]}

    before = ours()
    process = toy_lab.check(places)
    try:
        deadline = time.monotonic() + toy_lab.HANG_S
        while not (paths.SCRATCH / "running").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert ours() - before
        process.send_signal(number)
        process.communicate(timeout=20)
    finally:
        process.kill()
    deadline = time.monotonic() + toy_lab.HANG_S
    while (left := ours() - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == set()


LEAVES = """
from boxlab.labs import check

@check(points=2)
def runs(work):
    'It runs.'
    assert work.run(["python", "leaves.py"], memory_mib=4096).output == "left"
"""


def test_what_a_program_of_the_learners_starts_through_boxlab_is_removed(places):
    toy = toy_lab.make(places / "labs", LEAVES, TOML)
    (toy.starter / "leaves.py").write_text(
        "from boxlab import engine\n"
        "api = engine.connect().api\n"
        "made = api.create_container('containers-measured/base', ['sleep', '600'], labels=engine.labels())\n"
        "api.start(made['Id'])\n"
        "print('left', end='')\n"
    )
    report = runner.run(toy, toy.starter, 1, run="fedcba987654")
    assert report.outcome == Outcome.PASS, report.to_text()
    assert sweep.of_run("fedcba987654") == []
