import errno
import hashlib
import os
import shutil
import subprocess
import sys

import command
import docker
import psutil
import pytest
import requests

from boxlab import client, engine, errors, leftover, marks, names, paths, sweep, waiting
from boxlab.errors import EngineError
from boxlab.runtimes.spawn import HostProcess


@pytest.mark.parametrize(
    ("error", "message", "fix"),
    [
        (
            docker.errors.DockerException(
                "Error while fetching server API version: ('Connection aborted.', FileNotFoundError(2, 'No such file'))"
            ),
            "no engine answers",
            "docker start",
        ),
        (
            docker.errors.DockerException("('Connection aborted.', ConnectionRefusedError(111, 'Connection refused'))"),
            "no engine answers",
            "docker start",
        ),
        (
            docker.errors.DockerException("('Connection aborted.', PermissionError(13, 'Permission denied'))"),
            "not allowed",
            "usermod -aG docker",
        ),
        (docker.errors.APIError("write /x: no space left on device"), "the disk is full", "df -h"),
        (requests.exceptions.ReadTimeout("Read timed out. (read timeout=60)"), "did not answer", "restart the engine"),
        (docker.errors.APIError("conflict: name is taken"), "the engine said: conflict", ""),
        (
            docker.errors.APIError("dial unix /run/containerd/containerd.sock: connect: connection refused"),
            "the engine said: dial unix",
            "restart the engine",
        ),
        (
            docker.errors.APIError(
                'Head "https://registry.example/v2/": dial tcp 1.2.3.4:443: connect: network is unreachable'
            ),
            "the engine said: Head",
            "is the network there?",
        ),
        (
            docker.errors.APIError("lookup registry-1.docker.io: Temporary failure in name resolution"),
            "the engine said: lookup",
            "is the network there?",
        ),
        (docker.errors.APIError("dial tcp 10.0.0.1:3128: i/o timeout"), "the engine said: dial", "the network there?"),
        (
            requests.ConnectionError("HTTPConnectionPool(host='localhost', port=None): Read timed out."),
            "did not answer within 600 s",
            "restart the engine",
        ),
    ],
)
def test_errors_become_one_line_with_a_fix(monkeypatch, error, message, fix):
    monkeypatch.setattr(engine.shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(EngineError) as caught, engine.plain_errors():
        raise error
    assert message in str(caught.value) and fix in caught.value.fix
    assert len(caught.value.args[0].splitlines()) == 1


@pytest.mark.parametrize(
    "said",
    [
        "Cannot connect to the Docker daemon at unix:///Users/ada/.docker/run/docker.sock. Is the docker daemon running?",
        "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct and if the daemon is running",
        "failed to connect to the docker API at unix:///Users/ada/.docker/run/docker.sock; check if the path is correct",
        "error during connect: Get https://there:2376/v1.51/info: dial tcp: lookup there: no such host",
    ],
)
def test_what_the_docker_command_says_of_an_engine_that_is_not_there_has_the_fix_of_that(said):
    assert client.fix_for(said) == client.START_FIX


def test_only_a_folder_has_another_owner():
    assert "WSL integration" in client.fix_for("The command 'docker' could not be found in this WSL 2 distro.")
    assert "chown" in client.fix_for("open /home/ada/.docker/config.json: no access")
    assert "chown" not in client.fix_for("registry-1.docker.io/v2/: unauthorized")


def test_who_has_no_docker_is_not_told_to_start_it(monkeypatch):
    monkeypatch.setattr(client, "endpoint", lambda: client.Endpoint("unix:///var/run/docker.sock"))
    monkeypatch.setattr(engine.shutil, "which", lambda name: None)
    error = engine.explain(docker.errors.DockerException("FileNotFoundError(2, 'No such file')"))
    assert "install docker.io" in error.fix and "start docker" not in error.fix


def test_the_environment_names_the_engine_first(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert engine.host() == "tcp://127.0.0.1:1"


def test_an_unknown_context_is_named(monkeypatch):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONTEXT", "nowhere")
    with pytest.raises(EngineError, match="nowhere"):
        engine.host()


def test_a_context_whose_definition_is_gone_is_named(monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text('{"currentContext": "desktop-linux"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(EngineError, match="no Docker context 'desktop-linux'"):
        engine.host()


def test_without_an_engine_connecting_says_what_to_do(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    engine.connect.cache_clear()
    with pytest.raises(EngineError, match="no engine answers"):
        engine.connect()
    engine.connect.cache_clear()


def known(pid):
    """What is ours with this process number: the kernel shows a program's variables a moment after it has started it."""
    return [item for item in sweep.processes() if item.name.startswith(f"{pid} ")]


@pytest.mark.linux
def test_processes_of_ours_are_found_and_removed_and_no_others(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "SCRATCH", tmp_path)
    (tmp_path / "draft").write_text("x")
    monkeypatch.setattr(sweep, "engine_objects", lambda images=False: [])
    ours = HostProcess(["sleep", "1000"], {"PATH": "/usr/bin:/bin"})
    waiting.until(lambda: known(ours.pid))
    leftover.remove(lambda: known(ours.pid))
    assert ours.exit_reason() == "killed by SIGKILL"
    ours.stop()
    leftover.remove(sweep.scratch_files)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.linux
@pytest.mark.parametrize("name", sorted(sweep.PODMANS))
def test_what_podman_leaves_running_with_our_variables_is_not_ours(tmp_path, name):
    shutil.copy(shutil.which("sleep"), tmp_path / name)
    ours = HostProcess(["sleep", "1000"], {"PATH": "/usr/bin:/bin"})
    podmans = HostProcess([str(tmp_path / name), "1000"], {"PATH": "/usr/bin:/bin"})
    try:
        waiting.until(lambda: known(ours.pid) and podmans.pid in {p.pid for p in marks.processes(marks.environment())})
        assert known(podmans.pid) == []
    finally:
        ours.stop(grace_s=0)
        podmans.stop(grace_s=0)


@pytest.mark.linux
def test_what_python_starts_for_itself_is_not_ours():
    tracker = "from multiprocessing.resource_tracker import main; main(0)"
    process = HostProcess([sys.executable, "-c", tracker], {"PATH": "/usr/bin:/bin"})
    try:
        waiting.until(lambda: process.pid in {p.pid for p in marks.processes(marks.environment())})
        assert known(process.pid) == []
    finally:
        process.stop(grace_s=0)


@pytest.mark.linux
def test_a_killed_process_whose_parent_does_not_ask_how_it_ended_is_gone():
    with subprocess.Popen(["sleep", "60"], env=marks.environment()) as process:
        [item] = waiting.until(lambda: known(process.pid))
        item.remove()
        assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
        assert item not in sweep.processes()


def test_a_process_of_another_owners_is_not_ours():
    environment = marks.environment() | {marks.OWNER_MARK: "another"}
    with subprocess.Popen(["sleep", "60"], env=environment) as process:
        assert not [item for item in sweep.processes() if item.name.startswith(f"{process.pid} ")]
        process.kill()


def test_an_owner_is_a_checkout_and_its_user(monkeypatch):
    monkeypatch.delenv(marks.OWNER_MARK, raising=False)
    owners = {marks.owner()}
    monkeypatch.setattr(paths, "ROOT", paths.ROOT / "another")
    owners.add(marks.owner())
    monkeypatch.setattr("os.getuid", lambda: 4242)
    owners.add(marks.owner())
    assert len(owners) == 3
    monkeypatch.setenv(marks.OWNER_MARK, "started by")
    assert marks.owner() == "started by"


def test_an_owner_is_the_same_in_each_locale(tmp_path):
    script = "import pathlib, sys; from boxlab import marks, paths; paths.ROOT = pathlib.Path(sys.argv[1]); print(marks.owner())"
    environment = {name: value for name, value in os.environ.items() if name != marks.OWNER_MARK}
    environment |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    owners = {
        command.run(sys.executable, "-c", script, tmp_path / "é", env=environment | {"PYTHONUTF8": utf8}).stdout
        for utf8 in "01"
    }
    assert owners == {hashlib.sha256(f"{tmp_path}/é\0{os.getuid()}".encode()).hexdigest()[:12] + "\n"}


def test_a_list_of_images_that_one_of_them_leaves_meanwhile_is_asked_for_again(monkeypatch):
    """As containerd's store fails: a digest whose content has just gone."""
    gone = docker.errors.NotFound("content digest sha256:2d9e: not found")

    class Store:
        def __init__(self):
            self.api, self.answers = self, [gone, gone, [{"Id": "one", "RepoTags": ["py:latest"], "Created": 1}]]

        def images(self, **_which):
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        def containers(self, **_which):
            return []

        networks = containers

        def volumes(self):
            return {"Volumes": None}

        remove_image = containers

    store = Store()
    monkeypatch.setattr(engine, "connect", lambda: store)
    assert [thing.name for thing in names._things()] == ["py:latest"]
    assert store.answers == []


def test_what_an_engine_has_not_is_no_fault_of_the_docker_command():
    said = engine.explain(docker.errors.NotFound("content digest sha256:2d9e: not found"))
    assert "content digest" in said.args[0] and said.fix == ""
    for line in ("sh: 1: docker: not found", "bash: docker: command not found", "version `GLIBC_2.34' not found"):
        assert "command line anew" in client.fix_for(line)


def test_a_machine_that_starts_no_further_program_needs_no_other_docker_command(monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    monkeypatch.setattr(subprocess, "Popen", refused)
    with pytest.raises(OSError) as caught:
        engine.docker_command("version")
    assert "ulimit -u" in errors.of_system(caught.value).fix


def test_what_the_reader_says_of_a_project_or_a_platform_is_not_said_of_ours(monkeypatch):
    monkeypatch.setenv("COMPOSE_FILE", "theirs.yaml")
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", "linux/another")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    assert not {"COMPOSE_FILE", "DOCKER_DEFAULT_PLATFORM"} & engine.docker_call("compose", "ls")[1].keys()
    assert engine.docker_call("compose", "ls", COMPOSE_FILE="ours.yaml")[1]["COMPOSE_FILE"] == "ours.yaml"


@pytest.mark.parametrize(
    ("given", "name"), [("", "scratch"), ("/var/tmp", "scratch"), ("/var/tmp/scratch-gw0", "scratch-gw0")]
)
def test_what_is_swept_lies_in_our_cache_whatever_a_variable_says(given, name):
    command = [sys.executable, "-c", "from boxlab import paths; print(paths.SCRATCH)"]
    said = subprocess.run(command, env=os.environ | {"BOXLAB_SCRATCH": given}, capture_output=True, text=True)
    assert said.stdout.strip() == str(paths.CACHE / name)
