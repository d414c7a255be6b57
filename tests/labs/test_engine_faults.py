"""What goes wrong with an engine, a build or a container has the right outcome, in clear words, and leaves nothing."""

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
import toy_lab

from boxlab import builder as builders
from boxlab import engine, images, marks, paths, sweep, waiting
from boxlab.labs import Mismatch, Work, runner
from boxlab.labs.checks import Outcome
from boxlab.labs.work import Planter
from boxlab.runtimes.spawn import EngineContainer
from boxlab.waiting import HANG_S

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
    before = unnamed()
    yield
    sweep.remove_lab_images("99-toy")
    assert kept() == set()
    waiting.until(lambda: unnamed() <= before)
    waiting.until(lambda: not sweep.of_run(marks.RUN))


HOST = os.environ.get("DOCKER_HOST")
"""The engine that the tests were started with."""


@pytest.fixture
def places(places, monkeypatch):
    """These labs have an engine."""
    monkeypatch.delenv("DOCKER_HOST")
    if HOST:
        monkeypatch.setenv("DOCKER_HOST", HOST)
    return places


@pytest.fixture
def work(places):
    folder = paths.SCRATCH / "lab" / "work"
    folder.mkdir(parents=True)
    return Work("99-toy", folder, folder, Planter(None, 0))


@pytest.fixture(params=list(builders.Way), ids=lambda way: way.name)
def builder(request, monkeypatch):
    """Each way to build that there is here."""
    if request.param not in builders.ways():
        pytest.skip("this engine or its command has another builder")
    monkeypatch.setattr(builders, "chosen", lambda: request.param)
    return request.param


def unnamed():
    """Images without a name that stand on the base: they inherit its label."""
    return builders.unnamed(engine.LABEL)


def kept():
    """Every name of the images that this owner's checks of the toy lab keep; other tests lend the base such a name as another."""
    own = images.passing(f"{images.LAB_PREFIX.removeprefix(images.PREFIX)}99-toy-*")
    return {name for image in engine.images(filters={"reference": own}) for name in image.tags}


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
            assert [path for _, path, _ in files] == ["second"]


def test_the_target_of_a_link_is_content_as_well(work, builder):
    dockerfile(work, "RUN ln -s /no/where /link")
    with work.build().files() as files:
        assert ("link", b"/no/where") in [(path, content) for _, path, content in files]


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
    waiting.until(lambda: not sleeping())  # the engine takes a moment to kill what it ran


def test_a_build_that_is_late_where_the_solutions_is_late_too_is_no_mistake(work):
    dockerfile(work, "RUN sleep 600")
    solution = work.folder.with_name("solution")
    solution.mkdir()
    (solution / "Dockerfile").write_text((work.folder / "Dockerfile").read_text())
    with pytest.raises(engine.EngineError, match="what is right is not built within 1 s"):
        work.build(seconds=2)
    waiting.until(lambda: not sleeping())


@pytest.mark.parametrize("right", ["RUN true", "RUN false"])
def test_a_build_that_is_late_where_the_solutions_is_not_is_a_mismatch(work, right, monkeypatch):
    """Also where that fails, which says nothing of the machine."""
    monkeypatch.setattr("boxlab.labs.build.SLACK", 1 / toy_lab.HANG_S)
    dockerfile(work, "RUN sleep 600")
    solution = work.folder.with_name("solution")
    solution.mkdir()
    (solution / "Dockerfile").write_text(f"FROM {images.PREFIX}base\n{right}\n")
    with pytest.raises(Mismatch):
        work.build(seconds=2)


def sleeping():
    commands = subprocess.run(["ps", "-A", "-o", "command"], capture_output=True, text=True, check=True).stdout
    return [line for line in commands.splitlines() if line == "sleep 600"]


def test_a_build_that_prints_much_and_fails_leaves_nothing_without_a_name(work, builder):
    before = unnamed()
    dockerfile(work, "RUN echo one > /one", "RUN echo two > /two", "RUN yes | head -c 600000; exit 3")
    with pytest.raises(Mismatch):
        work.build()
    waiting.until(lambda: unnamed() <= before)  # what others build meanwhile goes


def test_a_file_that_only_its_owner_may_read_can_be_read_in_the_image(work, builder):
    dockerfile(work, "COPY note run.sh /", "USER 1000", 'CMD ["/run.sh"]')
    (work.folder / "note").write_text("the note\n")
    (work.folder / "run.sh").write_text("#!/bin/sh\ncat /note\n")
    (work.folder / "note").chmod(0o600)
    (work.folder / "run.sh").chmod(0o700)
    with work.container(work.build()) as box:
        assert box.expect() == "the note"


def test_what_an_image_adds_is_its_unpacked_layers_on_every_image_store(work, builder):
    dockerfile(work, "COPY zeros /zeros")
    (work.folder / "zeros").write_bytes(bytes(5 << 20))
    assert 5 << 20 < work.build().added < (5 << 20) + 20_000


def test_an_edit_that_leaves_size_and_time_as_they_were_is_built(work, builder):
    dockerfile(work, "COPY note /note", 'CMD ["cat", "/note"]')
    for text in ("one", "two"):
        (work.folder / "note").write_text(f"{text}\n")
        os.utime(work.folder / "note", (1, 1))
        with work.container(work.build()) as box:
            assert box.expect() == text


def test_a_build_that_prints_without_end_is_bounded_and_a_mismatch(work, builder):
    dockerfile(work, "RUN yes what a noise")
    with pytest.raises(Mismatch) as caught:
        work.build(seconds=2)
    assert len(caught.value.actual) < 3000


def test_a_disk_that_is_full_in_a_build_is_no_mistake_of_the_learners(work, builder):
    dockerfile(work, "RUN head -c 999999999 /dev/zero > /dev/shm/full")
    with pytest.raises(engine.EngineError, match="disk is full"):
        work.build()


def test_an_edit_of_a_dockerfile_leaves_nothing_of_the_old_images(work, builder):
    _client, before = engine.connect(), unnamed()
    for number in range(3):
        dockerfile(work, f"RUN echo {number} > /first", f"FROM {images.PREFIX}base", "COPY --from=0 /first /second")
        work.build()
        names = kept()
        assert all(name.startswith(images.LAB_PREFIX) for name in names), "what a stage is FROM is no step of it"
        steps = {name for name in names if ":step-" in name}
        assert len(names) == len(steps) + 1 and (len(steps) > 0) == ("classic" in builder)
        waiting.until(lambda: unnamed() <= before)


CONTAINERS = {
    "exit status 3": "exit 3",
    "a further line did not come within 1 s; it printed nothing": "sleep 600",
    "a further line did not come within 1 s": "trap '' TERM INT HUP; sleep 600 & wait; sleep 600",
    "printed more than 1024 KiB": "tr '\\0' y < /dev/zero",
    "a further line did not come within 1 s; it printed nothing ": "exec python3 -c 'import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(1)'",
}


@pytest.mark.parametrize("words", CONTAINERS)
def test_a_container_that_does_not_answer_is_a_mismatch_and_goes(work, words, monkeypatch):
    monkeypatch.setattr("boxlab.labs.work.SLACK", 1 / toy_lab.HANG_S)  # one that does may take its time
    with (
        pytest.raises(Mismatch) as caught,
        work.container("containers-measured/base", ["sh", "-c", CONTAINERS[words]]) as box,
    ):
        box.ask("anybody there?", seconds=1)
    assert words.strip() in caught.value.actual
    waiting.until(lambda: not sweep.of_run(marks.RUN))


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
    monkeypatch.setattr(runner, "CLEAR_S", 3)
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
    assert waiting.until((paths.SCRATCH / "running").exists, "the check runs")
    if loss == "cut":
        proxy.cut()
    else:
        proxy.silent = True
    thread.join(HANG_S)
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
        found = client.containers.list(
            all=True, filters={"label": f"{engine.OWNER_LABEL}={marks.owner()}"}, ignore_removed=True
        )
        return {container.id for container in found if container.attrs["Config"]["Cmd"] == ["cat"]}

    before = ours()
    process = toy_lab.check(places)
    try:
        deadline = time.monotonic() + toy_lab.HANG_S
        while not (paths.SCRATCH / "running").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert ours() - before
        process.send_signal(number)
        process.communicate(timeout=HANG_S)
    finally:
        process.kill()
    deadline = time.monotonic() + toy_lab.HANG_S
    while (left := ours() - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == set()


FAULTS = {
    "too new": ("Error response from daemon: client version 1.52 is too new. Maximum supported API version is 1.41", 1),
    "too old": ("Error response from daemon: client version 1.24 is too old. Minimum supported API version is 1.44", 1),
    "no such API": ("Error: API version 1.41 is not supported by this client: the minimum supported API is 1.44", 1),
    "read-only": ("ERROR: mkdir /home/me/.docker/buildx: read-only file system", 1),
    "socket": (
        "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
        1,
    ),
    "folder": ("ERROR: mkdir /home/me/.docker/buildx: permission denied", 1),
    "file": ("WARNING: Error loading config file: open /home/me/.docker/config.json: permission denied", 1),
    "credentials": ("error getting credentials - err: exec: docker-credential-desktop: not found, out: ``", 1),
    "rpc": ("rpc error: code = Unavailable desc = connection error: desc = transport: Error while dialing", 1),
    "EOF": ("ERROR: failed to receive status: rpc error: code = Unavailable desc = error reading from server: EOF", 1),
    "137": ('ERROR: process "/bin/sh -c true" did not complete successfully: exit code: 137', 1),
    "memory": ("fork/exec /usr/bin/runc: cannot allocate memory", 1),
    "rate": ("toomanyrequests: You have reached your pull rate limit", 1),
    "overlay": ("failed to mount overlay: invalid argument", 1),
    "overlay options": ("error creating overlay mount to /var/lib/docker/overlay2/x/merged: too many levels", 1),
    "runtime": (
        "OCI runtime create failed: runc create failed: unable to start container process: mkdir: read-only",
        1,
    ),
    "quota": ("write /app/x: disk quota exceeded", 1),
    "thread": ("runtime: failed to create new OS thread (have 9 already; errno=11)", 2),
    "library": ("docker: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by docker)", 1),
    "no buildx": ("ERROR: BuildKit is enabled but the buildx component is missing or broken.", 1),
    "no engine": (
        "ERROR: failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct and if the "
        "daemon is running: dial unix /var/run/docker.sock: connect: no such file or directory",
        1,
    ),
    "no engine, before 29": ("ERROR: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", 1),
    "silent 125": ("", 125),
    "silent 126": ("", 126),
    "silent 127": ("", 127),
    "silent 139": ("", 139),
}
"""What broken machines print where an image is to be built, and the exit status of the docker command."""

FAKE = """#!/bin/sh
case " $* " in *" build "*"{folder}"*) ;; *) exec {docker} "$@" ;; esac
echo >> {count}
[ $(wc -l < {count}) -le {times} ] || exec {docker} "$@"
printf '%s\\n' {text}
exit {status}
"""


@pytest.fixture
def broken(monkeypatch, tmp_path):
    """Makes the docker command print a fault in place of its next builds."""

    def make(text: str, status: int, times: int = 99) -> None:
        docker = shutil.which("docker")
        if not docker:
            pytest.skip("no docker command here")
        folder = tmp_path / "bin"
        folder.mkdir()
        count = tmp_path / "count"
        count.write_text("")
        (folder / "docker").write_text(
            FAKE.format(
                folder=paths.SCRATCH,
                docker=shlex.quote(docker),
                count=shlex.quote(str(count)),
                times=times,
                text=shlex.quote(text),
                status=status,
            )
        )
        (folder / "docker").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        builders.ways.cache_clear()

    yield make
    builders.ways.cache_clear()


@pytest.mark.parametrize("name", FAULTS)
def test_a_machine_that_builds_nothing_is_no_mistake_of_the_learners(work, broken, name):
    dockerfile(work, "RUN true")
    broken(*FAULTS[name])
    with pytest.raises(engine.EngineError) as caught:
        work.build()
    error = caught.value
    assert error.fix and len(error.args[0].splitlines()) == 1


@pytest.mark.parametrize("name", ["EOF", "quota", "rpc", "no engine"])
def test_a_machine_that_fails_once_is_no_mistake_of_the_learners(work, broken, name):
    dockerfile(work, "RUN true")
    broken(*FAULTS[name], times=1)
    with pytest.raises(engine.EngineError):
        work.build()


def test_a_build_that_fails_once_is_made_again_before_anybody_is_blamed(work, broken):
    dockerfile(work, "RUN true")
    broken("ERROR: failed to solve: content digest sha256:0: not found", 1, times=1)
    assert work.build().on_base


MISTAKES = {
    "a step": "RUN exit 3",
    "a command that is not there": "RUN nowhere",
    "a file that is not there": "COPY nowhere /",
    "a user that is not there": "USER nobody-here\nRUN true",
    "a file that may not be written": "USER 7\nRUN echo x > /etc/passwd",
    "words of a machine's": "RUN echo 'permission denied; OCI runtime; EOF; cannot allocate memory'; exit 137",
    "no instruction": "NONSENSE",
    "a flag of another instruction": "COPY --mount=type=bind,target=/mnt Dockerfile /",
    "an image that is not there": "FROM containers-measured/nowhere",
    "an end of a quotation": "RUN echo 'x",
    "a kill": "RUN true; sh -c 'kill -9 $$'; exit $?",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_dockerfile_stays_the_learners(work, name):
    dockerfile(work, MISTAKES[name])
    with pytest.raises(Mismatch):
        work.build()
    waiting.until(lambda: not engine.images(name=f"{images.LAB_PREFIX}control-{marks.RUN}"))


BUILDKITS = {
    "a mount": "RUN --mount=type=bind,target=/mnt true",
    "rights": "COPY --chmod=600 Dockerfile /",
    "a text below a command": "RUN <<END\nfalse\nEND",
    "a file below its line": "COPY <<END /note\nEND",
}


@pytest.mark.parametrize("name", BUILDKITS)
def test_what_a_builder_does_not_know_yet_is_said_of_the_engine(work, monkeypatch, name):
    if builders.Way.CLASSIC not in builders.ways():
        pytest.skip("no classic builder by a command here")
    monkeypatch.setattr(builders, "chosen", lambda: builders.Way.CLASSIC)
    dockerfile(work, BUILDKITS[name])
    with pytest.raises(engine.EngineError, match="builder of this engine lacks") as caught:
        work.build()
    assert "buildx" in caught.value.fix and "do without" in caught.value.fix


def test_a_builder_that_is_looked_for_at_a_registry_is_named(work, builder):
    """By BuildKit alone: the classic builder takes the line for a remark."""
    (work.folder / "Dockerfile").write_text(f"# syntax=nowhere.invalid/dockerfile:1\nFROM {images.PREFIX}base\n")
    if builder in (builders.Way.CLASSIC, builders.Way.CALL):
        assert work.build().on_base
    else:
        with pytest.raises(Mismatch) as caught:
            work.build()
        assert "# syntax=" in caught.value.next


@pytest.fixture(scope="module")
def failing_runtime():
    """A runtime that the engine knows and that starts no container here."""
    known = engine.connect().info()["Runtimes"]
    runtime = next((name for name in ("crun", "runsc") if name in known and not _runs(name)), None)
    return runtime or pytest.skip("this engine has no runtime that fails")


def _runs(runtime):
    try:
        EngineContainer("containers-measured/base", ["true"], runtime=runtime).stop(grace_s=0)
    except engine.EngineError:
        return False
    return True


def test_an_engine_that_starts_no_container_is_no_mistake_of_the_learners(work, failing_runtime):
    never = work.container("containers-measured/base", ["nowhere"], runtime=failing_runtime)
    with pytest.raises(engine.EngineError, match="starts no container") as caught, never:
        pass
    assert caught.value.fix and len(caught.value.args[0].splitlines()) == 1


def test_what_keeps_a_container_from_starting_is_the_learners_where_the_learner_chose_it(work, failing_runtime):
    with pytest.raises(Mismatch), work.container("containers-measured/base", ["true"], {"runtime": failing_runtime}):
        pass
    with pytest.raises(Mismatch, match="nowhere"), work.container("containers-measured/base", ["nowhere"]):
        pass
