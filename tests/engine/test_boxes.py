"""A box starts until ready, can be looked at, and is gone, whatever happened to it. On the real engine."""

import signal
import subprocess
import sys
import time

import pytest

from boxlab import builder, engine, images, leftover, marks, paths, records, runtimes, sweep, turns
from boxlab.errors import BuildError, NotReady
from boxlab.runtimes.box import WORKLOAD_MARKS
from boxlab.runtimes.console import Console
from boxlab.runtimes.spawn import EngineContainer
from boxlab.waiting import HANG_S, until

WORKLOAD = runtimes.Workload()


@pytest.fixture(scope="module", autouse=True)
def workload_image():
    return images.ensure("workload")


def ours():
    return {
        c.id
        for c in engine.connect().containers.list(
            all=True, filters={"label": f"{engine.OWNER_LABEL}={marks.owner()}"}, ignore_removed=True
        )
    }


@pytest.mark.parametrize("kind", ["process", "container"])
def test_three_verbs(kind):
    runtime = runtimes.named(kind)
    runtime.prepare(WORKLOAD)
    before = ours()
    with runtime.start(WORKLOAD) as box:
        assert box.answer == "37.2"
        assert list(box.marks.values()) == sorted(box.marks.values())
        assert set(runtime.phases) <= set(box.marks)
        seen = box.observe()
        assert seen.inside["kernel"] == engine.connect().info()["KernelVersion"]
        assert len(seen.pids) == 1
        spawned = box.spawned
        box.stop()
        assert spawned.exit_reason() == "exit status 0", "it ended when told to, not by force"
    assert ours() == before
    wait_until(lambda: not sweep.processes())


def test_the_container_is_held_to_the_workloads_limits():
    runtime = runtimes.named("container")
    runtime.prepare(WORKLOAD)
    with runtime.start(WORKLOAD) as box:
        limits = box.spawned.inspect()["HostConfig"]
        assert limits["Memory"] == limits["MemorySwap"] == WORKLOAD.memory_mib << 20
        assert limits["NanoCpus"] == WORKLOAD.cpus * 10**9
        assert limits["NetworkMode"] == "none"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 3", "exit status 3; it printed nothing"),
        ("yes noise", "printed more than 1024 KiB"),
        ("head -c 3000000 /dev/urandom; sleep 600", "printed more than 1024 KiB"),
    ],
)
def test_a_container_that_does_not_get_ready_is_a_failure_and_gone(script, message):
    before = ours()
    container = EngineContainer(f"{images.PREFIX}base", ["sh", "-c", script], network_mode="none")
    try:
        with pytest.raises(NotReady, match=message):
            Console(container, WORKLOAD_MARKS, time.monotonic()).wait_for("ready", HANG_S)
    finally:
        container.stop(grace_s=0)
    assert ours() == before


def test_who_prints_errors_alone_is_silent_and_not_read_for_ever():
    script = "while :; do echo trouble >&2; done"
    container = EngineContainer(f"{images.PREFIX}base", ["sh", "-c", script], network_mode="none", apart=True)
    try:
        until(lambda: container.read(0) is None and b"trouble" in container.errors)
    finally:
        container.stop(grace_s=0)


def test_a_container_that_hangs_is_a_failure_and_gone():
    before = ours()
    script = "echo workload: started; sleep 600"
    container = EngineContainer(f"{images.PREFIX}base", ["sh", "-c", script], network_mode="none")
    try:
        console = Console(container, WORKLOAD_MARKS, time.monotonic())
        console.wait_for("app", HANG_S)
        with pytest.raises(NotReady, match="nothing else did for 0.1 s; its last line was 'workload: started'"):
            console.wait_for("ready", HANG_S, silence_s=0.1)
    finally:
        container.stop(grace_s=0)
    assert ours() == before


def test_a_container_out_of_memory_says_so():
    script = "import time; x = bytearray(200 << 20); time.sleep(60)"
    container = EngineContainer(
        f"{images.PREFIX}base",
        ["python3", "-c", script],
        network_mode="none",
        mem_limit=32 << 20,
        memswap_limit=32 << 20,
    )
    try:
        with pytest.raises(NotReady, match="out of memory|exit status 137"):
            Console(container, WORKLOAD_MARKS, time.monotonic()).wait_for("ready", HANG_S)
    finally:
        container.stop(grace_s=0)


def test_a_container_deaf_to_sigterm_is_removed():
    before = ours()
    container = EngineContainer(
        f"{images.PREFIX}base", ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 60; done"], network_mode="none"
    )
    assert container.read(HANG_S) == b"up\n"
    container.stop(grace_s=1)
    assert ours() == before


def test_a_command_that_does_not_exist_leaves_no_container():
    before = ours()
    with pytest.raises(engine.EngineError, match="the engine said"):
        EngineContainer(f"{images.PREFIX}base", ["/no/such/command"], network_mode="none")
    assert ours() == before


STARTED = "from boxlab import runtimes; w = runtimes.Workload(); r = runtimes.named('container'); r.prepare(w); b = r.start(w); print('up', flush=True); input()"


def wait_until(condition):
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be in time"
        time.sleep(0.05)


def test_a_killed_owner_leaves_no_container():
    before = ours()
    owner = subprocess.Popen([sys.executable, "-c", STARTED], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout.readline() == b"up\n"
        assert len(ours() - before) == 1
        owner.kill()
    wait_until(lambda: ours() == before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_experiment_leaves_nothing_and_keeps_its_samples(number):
    name = f"interrupted-{number.name}"
    record = paths.RESULTS / f"{name}.local.json"
    before = ours()
    command = [sys.executable, "-m", "boxlab", "startup", "process", "container", "--rounds", "200", "--save-as", name]
    try:
        with (
            turns.turn("measuring", "it is our turn to measure"),
            subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as experiment,
        ):
            wait_until(record.exists)
            experiment.send_signal(number)
            complaint = experiment.stderr.read()
        assert experiment.returncode == 130
        assert "interrupted" in complaint and "Traceback" not in complaint
        run = records.load(record)
        assert not run.complete and run.samples
    finally:
        record.unlink(missing_ok=True)
    wait_until(lambda: ours() == before)
    wait_until(lambda: not sweep.processes())


def test_clean_removes_what_we_made_and_not_what_a_reader_made_of_our_images():
    client = engine.connect()
    readers = client.containers.create(f"{images.PREFIX}base", ["true"], network_mode="none")
    readers.commit(repository="readers-own", tag="image")
    volume, ours_too = client.volumes.create(), client.volumes.create(labels=engine.labels())
    try:
        removed = {(item.kind, item.name) for item in sweep.sweep()}
        assert removed == {("volume", ours_too.name)}
        assert readers.id in {c.id for c in client.containers.list(all=True, ignore_removed=True)}
        assert volume.name in {v.name for v in client.volumes.list()}
        with_images = {item.name for item in sweep.engine_objects(images=True)}
        assert images.own("base") in with_images
        assert not with_images & {"readers-own:image", f"{images.PREFIX}base:latest"}
    finally:
        readers.remove()
        volume.remove()
        client.images.remove("readers-own:image")


def test_pip_installs_a_package_inside_a_build(tmp_path, monkeypatch):
    (tmp_path / "probe").mkdir()
    (tmp_path / "probe" / "Dockerfile").write_text(
        f"FROM {images.PREFIX}base\nRUN pip install six && python3 -c 'import six'\n"
    )
    image_folders = images.paths.IMAGES
    (tmp_path / "base").symlink_to(image_folders / "base")
    monkeypatch.setattr(images.paths, "IMAGES", tmp_path)
    try:
        replaced = images.ensure("probe")
        assert replaced.fresh and not images.ensure("probe").fresh
        with (tmp_path / "probe" / "Dockerfile").open("a") as file:
            file.write("RUN echo changed > /changed\n")
        assert images.ensure("probe").fresh
        assert replaced.id not in builder.unnamed(engine.LABEL)
    finally:
        leftover.remove(lambda: sweep._shared(["probe"]))


def test_a_dockerfile_that_does_not_build_is_named_with_its_last_words(tmp_path, monkeypatch):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "Dockerfile").write_text(f"FROM {images.PREFIX}base\nRUN echo words && false\n")
    (tmp_path / "base").symlink_to(images.paths.IMAGES / "base")
    monkeypatch.setattr(images.paths, "IMAGES", tmp_path)
    with pytest.raises(BuildError, match=r"broken does not build.*words"):
        images.ensure("broken")


def test_the_base_says_where_it_came_from():
    labels = images.ensure("base").labels
    assert labels[images.ORIGIN_LABEL].startswith(("Docker Hub", "Debian"))


GARBAGE = """
import gc
from boxlab.runtimes.spawn import EngineContainer
for command in (["cat"], ["true"]):
    for grace_s in (0, 5):
        made = EngineContainer("containers-measured/base", command)
        made.stop(grace_s)
        del made
        gc.collect()
"""


def test_a_container_leaves_nothing_that_python_complains_of():
    images.ensure("base")
    ran = subprocess.run([sys.executable, "-X", "dev", "-c", GARBAGE], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", "", 0)
