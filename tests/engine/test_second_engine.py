"""A second engine in a container: current, with its tools, apart from the first, and gone when nobody listens any more."""

import json
import subprocess
import sys

import pytest

from boxlab import engine, images, marks, sweep, waiting
from boxlab.errors import EngineError
from boxlab.second_engine import SecondEngine

BASE = f"{images.PREFIX}base"


@pytest.fixture(scope="module")
def second():
    with SecondEngine(settings={"labels": ["made=for-tests"]}) as started:
        started.load(BASE)
        yield started


def test_it_is_current_and_has_its_tools(second):
    assert second.api >= (1, 44)
    assert int(second.docker("compose", "version", "--short").split(".")[0]) >= 2
    assert "buildx" in second.docker("buildx", "version")
    info = json.loads(second.docker("info", "--format", "{{json .}}"))
    assert info["Driver"] == "overlayfs" and info["Labels"] == ["made=for-tests"]


def test_its_containers_are_held_to_their_limits(second):
    read = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    assert second.docker("run", "--rm", "--memory=64m", BASE, "sh", "-c", read).strip() == str(64 << 20)


def test_it_builds(second):
    second.run("sh", "-c", f"printf 'FROM {BASE}\\nRUN echo done >/done\\n' | docker build --quiet --tag built -")
    assert second.docker("run", "--rm", "built", "cat", "/done") == "done\n"
    second.docker("image", "rm", "built")


def test_what_is_done_to_it_is_not_done_to_the_first(second):
    second.docker("run", "--detach", "--name", "one", BASE, "sleep", "600")
    assert "one" in second.docker("ps", "--format", "{{.Names}}").split()
    assert "one" not in {c.name for c in engine.connect().containers.list(all=True, ignore_removed=True)}
    second.docker("rm", "--force", "one")
    second.docker("system", "prune", "--force", "--all")
    assert second.docker("image", "ls", "--quiet") == ""
    assert images.find("base")
    second.load(BASE)


def test_a_daemon_that_is_killed_is_started_again(second):
    second.kill()
    assert BASE in second.docker("image", "ls", "--format", "{{.Repository}}")


def test_a_command_that_fails_says_so(second):
    with pytest.raises(EngineError, match="No such image|no such image"):
        second.docker("image", "inspect", "nowhere")


def test_a_command_is_run_beside_a_program_that_is_not_roots(second):
    second.docker("run", "--detach", "--name", "plain", "--user", "1000", BASE, "sleep", "infinity")
    assert second.docker("exec", "plain", "id", "-u").strip() == "1000"
    second.docker("rm", "--force", "plain")


def test_two_make_a_swarm(second):
    with SecondEngine("worker", settings={"labels": ["made=for-tests"]}) as worker:
        second.docker("swarm", "init", "--advertise-addr", second.address())
        token = second.docker("swarm", "join-token", "--quiet", "worker").strip()
        worker.docker("swarm", "join", "--token", token, f"{second.address()}:2377")
        nodes = second.docker("node", "ls", "--format", "{{.Hostname}} {{.Status}}")
        assert "worker Ready" in nodes
        second.docker("swarm", "leave", "--force")


def test_it_is_gone_with_the_process_that_started_it(second):
    script = (
        "from boxlab.second_engine import SecondEngine; e = SecondEngine(); print(e._container.id, flush=True); input()"
    )
    client = engine.connect()
    owner = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with owner:
        started = owner.stdout.readline().strip()
        container = client.containers.get(started)
        volumes = {mount["Name"] for mount in container.attrs["Mounts"] if mount["Type"] == "volume"}
        assert volumes
        owner.kill()
        container.wait(condition="removed")
    waiting.until(lambda: not volumes & {volume.name for volume in client.volumes.list()})
    assert not [item for item in sweep.of_run(marks.RUN) if started.startswith(item.name)]
