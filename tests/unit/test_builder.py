"""What a build is given, what is made of what it prints, and which builder is chosen; no engine."""

import errno
import os
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from boxlab import builder, client, errors, marks
from boxlab.builder import Way
from boxlab.errors import EngineError

CLASSIC = """Step 1/4 : FROM base AS first
 ---> 0123456789ab
Step 2/4 : RUN true
 ---> Running in fedcba987654
 ---> 111111111111
Step 3/4 : FROM base
 ---> 0123456789ab
Step 4/4 : COPY --from=first /a /b
 ---> Using cache
 ---> 222222222222
"""

PLAIN = """#1 [internal] load build definition from Dockerfile
#5 [first 1/2] FROM docker.io/x
#6 [stage-1 2/2] COPY a b
#6 CACHED
#7 [first 2/2] RUN true
#7 [first 2/2] RUN true
#7 DONE 0.3s
"""


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "files"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "note").write_text("1")
    (folder / "run.sh").write_text("2")
    (folder / "link").symlink_to("run.sh")
    (folder / "__pycache__").mkdir()
    return folder


def facts(folder):
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode & 0o777, path.lstat().st_mtime)
        for path in folder.rglob("*")
        if not path.is_symlink()
    }


def test_a_context_is_the_same_whatever_the_umask_and_the_checkout(context):
    found = []
    for mode, executable, time in ((0o600, 0o700, 1), (0o664, 0o775, 2_000_000_000)):
        (context / "sub").chmod(0o700)
        (context / "sub" / "note").chmod(mode)
        (context / "run.sh").chmod(executable)
        os.utime(context / "run.sh", (time, time))
        with builder.staged(context, without="__pycache__") as folder:
            found.append(facts(folder))
            assert os.readlink(folder / "link") == "run.sh"
    assert found[0] == found[1]
    assert {name: oct(mode) for name, (mode, _) in found[0].items()} == {
        "sub": "0o755",
        "sub/note": "0o644",
        "run.sh": "0o755",
    }
    assert oct((context / "sub" / "note").stat().st_mode)[-3:] == "664"


def test_a_file_that_keeps_its_size_gets_another_time(context):
    times = []
    for text in ("1", "2", "1"):
        (context / "sub" / "note").write_text(text)
        builder.settle(context)
        times.append((context / "sub" / "note").stat().st_mtime)
    assert times[0] == times[2] != times[1]


def test_further_files_and_folders_join_a_context_which_is_gone_afterwards(context):
    with builder.staged(context, {"more/file": b"3", "empty": None}) as folder:
        assert (folder / "more" / "file").read_bytes() == b"3" and (folder / "empty").is_dir()
    assert not folder.parent.exists() and not (context / "more").exists()


def test_a_context_that_does_not_fit_on_the_disk_names_the_first_file_and_its_fix(context, monkeypatch):
    def full(source, target, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source), None, str(target))

    for name in ("copy", "copy2"):
        monkeypatch.setattr(shutil, name, full)
    with pytest.raises(OSError) as caught, builder.staged(context):
        pytest.fail("it was staged")
    said = errors.of_system(caught.value)
    assert said.args[0].endswith("/link: No space left on device") and said.fix.startswith("make room on the disk")


def test_steps_are_known_however_much_a_build_prints():
    output = builder._Output(lambda line: None)
    for text in (CLASSIC[:100], CLASSIC[100:], "noise\n" * builder.OUTPUT_CHARS, "without end" * builder.OUTPUT_CHARS):
        output.add(text)
    assert output.stages[1:] == [["111111111111"], ["222222222222"]]
    assert len(output.tail) == builder.OUTPUT_CHARS >= len(output._line)


@pytest.mark.parametrize(("text", "last"), [(CLASSIC, "step 4 of 4: COPY"), (PLAIN, "step 3 of 4: RUN true")])
def test_without_a_terminal_each_step_is_said_once(text, last, capsys, monkeypatch):
    monkeypatch.delenv(builder.progress.TERMINAL, raising=False)
    with builder.shown("image") as watch:
        builder._Output(watch).add(text)
    lines = capsys.readouterr().err.splitlines()
    assert last in lines[-1] and len(lines) == len(set(lines)) == int(last.split()[1])


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """An engine and a docker command: which builders they have."""
    builder.ways.cache_clear()

    def has(engine: str, podman: bool, command: tuple[str, ...] | None):
        monkeypatch.setenv("PATH", str(tmp_path))
        if command is not None:
            docker = tmp_path / "docker"
            known = " ".join(f'"{each}") ;;' for each in command)
            docker.write_text(f'#!/bin/sh\ncase "$*" in {known} *) exit 1 ;; esac\n')
            docker.chmod(0o755)
        answer = SimpleNamespace(headers={"Builder-Version": engine})
        api = SimpleNamespace(base_url="http://engine", get=lambda url: answer)
        monkeypatch.setattr(builder.engine, "connect", lambda: SimpleNamespace(api=api))
        monkeypatch.setattr(builder.engine, "is_podman", lambda: podman)
        return builder.chosen()

    yield has
    builder.ways.cache_clear()


@pytest.mark.parametrize(
    ("engine", "podman", "command", "way"),
    [
        ("2", False, ("buildx version",), Way.BUILDX),
        ("2", False, ("build --help",), Way.BUILDKIT),
        ("2", False, (), Way.CLASSIC),
        ("1", False, ("buildx version", "build --help"), Way.CLASSIC),
        ("2", False, None, Way.CALL),
        ("2", True, ("buildx version",), Way.CALL),
    ],
)
def test_buildkit_is_chosen_where_engine_and_command_have_it(machine, engine, podman, command, way):
    assert machine(engine, podman, command) is way


@pytest.fixture
def said(monkeypatch, tmp_path):
    """A docker command that notes what it is given."""
    docker, note = tmp_path / "docker", tmp_path / "said"
    docker.write_text(
        f"#!{sys.executable}\nimport os, sys\nopen({str(note)!r}, 'w').write(repr((sys.argv[1:], dict(os.environ))))\n"
    )
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def run(way, **options):
        given = {"labels": {}, "arguments": {}, "secrets": {}, "target": "", "proxied": {}, "network": None} | options
        output = builder._Output(lambda line: None)
        assert builder._by_command(way, tmp_path, "tag", cached=True, seconds=30, output=output, **given) == ""
        return eval(note.read_text())

    return run


def test_a_build_asks_the_engine_that_we_use_and_is_ours(said, monkeypatch):
    monkeypatch.setattr(client, "endpoint", lambda: client.Endpoint("unix:///ours"))
    for way in (Way.BUILDX, Way.BUILDKIT, Way.CLASSIC):
        _, environment = said(way)
        assert environment["DOCKER_HOST"] == "unix:///ours"
        assert marks.environment().items() <= environment.items()


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"DOCKER_HOST": "unix:///x", "BUILDX_BUILDER": "readers-own"}, "default"),
        ({"DOCKER_CONTEXT": "lima", "BUILDX_BUILDER": "readers-own"}, "lima"),
    ],
)
def test_the_engines_own_builder_is_used_whatever_other_one_the_reader_has_chosen(said, monkeypatch, environment, name):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(client, "endpoint", lambda: client.Endpoint("unix:///x", "what the reader has chosen"))
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    arguments, _ = said(Way.BUILDX)
    assert f"--builder={name}" in arguments and "--load" in arguments


def test_a_proxys_password_is_not_on_the_command_line(said, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://me:secret@proxy:1")
    for way in (Way.BUILDX, Way.CLASSIC):
        arguments, environment = said(way, proxied=builder.proxies())
        assert "--build-arg=http_proxy" in arguments and "secret" not in str(arguments)
        assert environment["http_proxy"] == "http://me:secret@proxy:1"


@pytest.mark.parametrize("hosts", ["", "inner.example"])
@pytest.mark.parametrize("own", [False, True], ids=["configured", "of the environment"])
def test_proxies_for_builds_are_none_between_the_docker_command_and_the_engine(said, monkeypatch, own, hosts):
    """What the environment says itself holds for the command as well."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(client, "endpoint", lambda: client.Endpoint("tcp://server:2376", "DOCKER_HOST", Path("/certs")))
    proxied = {"HTTPS_PROXY": "http://proxy:1"} | ({"NO_PROXY": hosts} if hosts else {})
    for name, value in proxied.items() if own else ():
        monkeypatch.setenv(name, value)
    for way in (Way.BUILDX, Way.CLASSIC):
        arguments, environment = said(way, proxied=proxied)
        given = [word.removeprefix("--build-arg=") for word in arguments if word.startswith("--build-arg=")]
        assert given == ["HTTPS_PROXY", *([f"NO_PROXY={hosts}"] if hosts else [])]
        assert environment["NO_PROXY"] == ",".join(filter(None, [hosts, "" if own else "server"]))


def test_a_secret_is_mounted_by_its_id_and_is_not_on_the_command_line(said):
    for way in (Way.BUILDX, Way.BUILDKIT):
        arguments, environment = said(way, secrets={"token": "hidden", "key": "kept"}, target="1")
        assert "hidden" not in str(arguments) and "kept" not in str(arguments) and "--target=1" in arguments
        mounted = [word.removeprefix("--secret=") for word in arguments if word.startswith("--secret=")]
        named = [dict(pair.split("=") for pair in each.split(",")) for each in mounted]
        assert {each["id"]: environment[each["env"]] for each in named} == {"token": "hidden", "key": "kept"}


@pytest.mark.parametrize("way", [Way.CLASSIC, Way.CALL])
def test_a_builder_without_secrets_is_given_none(way, context, monkeypatch):
    monkeypatch.setattr(builder, "chosen", lambda: way)
    monkeypatch.setattr(builder, "_named", lambda tag: set())
    with pytest.raises(EngineError, match="secrets of a build need BuildKit"):
        builder.build(context, "tag", labels={}, secrets={"token": "hidden"})


def test_an_interrupt_in_a_build_is_not_lost_where_no_signal_to_what_has_ended_is_permitted(said, monkeypatch):
    """As on macOS, where only a zombie is left of the docker command's group."""
    told, read = [], builder._read

    def interrupted(*_arguments):
        monkeypatch.setattr(builder, "_read", read)
        raise KeyboardInterrupt

    def refuse(_leader, number):
        told.append(number)
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(builder, "_read", interrupted)
    monkeypatch.setattr(os, "killpg", refuse)
    with pytest.raises(KeyboardInterrupt):
        said(Way.BUILDX)
    assert told == [signal.SIGTERM, signal.SIGKILL]
