import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from command import boxlab as run

from boxlab import catalogue, cli, doctor, engine, images, paths, runtimes, sweep
from boxlab.doctor import State
from boxlab.errors import BuildError, Unavailable
from boxlab.labs import commands
from boxlab.runtimes import accelerator, qemu

EXPERIMENTS = [experiment.name for experiment in catalogue.EXPERIMENTS]


@pytest.fixture
def no_engine(monkeypatch, tmp_path):
    monkeypatch.setattr(accelerator, "_file", lambda: tmp_path / "verdict")  # this machine's is not asked for
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    for find in ("processes", "control_groups", "scratch_files"):  # what is on this machine now is not a test's to end
        monkeypatch.setattr(sweep, find, list)
    engine.connect.cache_clear()
    yield
    engine.connect.cache_clear()


def test_help_names_every_command():
    output = run("--help").output
    for name in ("doctor", "prepare", "compare", "clean", *EXPERIMENTS, *(c.name for c in commands.ALL)):
        assert name in output


@pytest.mark.parametrize(
    "arguments",
    [("startup", "--rounds", "many"), ("nonsense",), ("startup", "--no-such-option"), ("startup", "no-such-arm")],
)
def test_wrong_usage_is_status_2(arguments):
    assert run(*arguments).exit_code == 2


def test_every_runtime_can_be_asked_for():
    assert tuple(kind.kind for kind in runtimes.ALL) == cli.ARMS


@pytest.mark.linux
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_an_output_that_is_full_or_unread_is_no_traceback(option):
    boxlab = [sys.executable, "-m", "boxlab", option]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(boxlab, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == cli.INFRASTRUCTURE
    assert re.fullmatch(r"boxlab: the standard output: No space left on device\n  fix: .*\n", ended.stderr)
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(boxlab, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (cli.PIPE, "")


def test_a_machine_that_allows_no_further_thread_is_no_traceback_as_a_mistake_of_ours_is(monkeypatch):
    error = RuntimeError("can't start new thread")

    def raises(again):
        raise error

    monkeypatch.setattr(doctor, "examine", raises)
    result = run("doctor")
    assert result.exit_code == cli.INFRASTRUCTURE
    assert re.fullmatch(r"boxlab: the system: .*\n  fix: close other programs: .*`ulimit -u`.*\n", result.output)
    error = RuntimeError("generator raised StopIteration")
    with pytest.raises(RuntimeError, match="StopIteration"):
        run("doctor")


@pytest.mark.parametrize("command", ["prepare", "clean", *EXPERIMENTS])
def test_without_an_engine_one_line_and_its_fix_and_status_3(no_engine, command, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))  # nor the docker command
    result = run(command)
    assert result.exit_code == cli.INFRASTRUCTURE
    assert result.output.splitlines()[-2].startswith("boxlab: no engine answers")
    assert result.output.splitlines()[-1].startswith("  fix: ")


def test_what_chapters_build_on_is_built_where_it_is_asked_for_and_one_that_fails_is_said(monkeypatch):
    built = []

    def ensure(name):
        built.append(name)
        if name == images.names()[3]:
            raise BuildError("no packages", "is the network there?")

    monkeypatch.setattr(runtimes, "ALL", [])
    monkeypatch.setattr(images, "ensure", ensure)
    monkeypatch.setenv(qemu.WHERE, "container")
    assert run("prepare").exit_code == 0 and built == []
    result = run("prepare", "--chapters")
    assert result.exit_code == 0 and built == images.names()[:4]
    assert "left out here: what the chapters build on: no packages" in result.output


def test_doctor_reports_a_missing_engine_and_still_checks_the_rest(no_engine):
    result = run("doctor", "--json")
    findings = {finding["what"]: finding for finding in json.loads(result.output)}
    assert result.exit_code == cli.INFRASTRUCTURE
    assert findings["engine"]["state"] == "failure" and findings["engine"]["fix"]
    assert {"machine", "memory", "disk", "fonts", "proxy", "certificates"} <= findings.keys()


def test_doctor_reports_a_missing_qemu(no_engine, monkeypatch):
    monkeypatch.setattr(qemu.shutil, "which", lambda name: None)
    [finding] = [f for f in doctor.examine() if f.what == "QEMU"]
    assert finding.state == State.NOTE and "apt-get install" in finding.fix


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_doctor_tells_a_folder_that_cannot_be_written_to(monkeypatch, number):
    """Whatever the number of free bytes says: a quota, a mount or a mode forbids it."""

    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refused)
    finding = next(doctor._disk())
    assert finding.state == State.FAILURE and finding.detail == f"{paths.CACHE}: {os.strerror(number)}" and finding.fix


@pytest.mark.parametrize(
    ("spoiled", "words"),
    [({"f_bavail": 0}, "0.0 GiB"), ({"f_flag": os.ST_RDONLY}, "read-only"), ({"f_favail": 0}, "no further file")],
)
def test_doctor_tells_a_disk_of_the_engine_that_is_full_or_read_only(monkeypatch, tmp_path, spoiled, words):
    known = {"f_flag": 0, "f_files": 9, "f_favail": 9, "f_bavail": 1 << 40, "f_frsize": 1}
    monkeypatch.setattr(doctor.os, "statvfs", lambda path: SimpleNamespace(**known | spoiled))
    monkeypatch.setattr(doctor.engine, "host", lambda: "unix:///somewhere")
    monkeypatch.setattr(doctor.engine, "keeps_packed", lambda: False)
    info = {"Driver": "overlay2", "DockerRootDir": str(tmp_path), "KernelVersion": doctor.platform.release()}
    finding = doctor._storage(info)
    assert finding.state == State.FAILURE and words in finding.detail and finding.fix
    assert doctor._storage(info | {"KernelVersion": "another"}).state == State.OK, (
        "another machine's is not ours to see"
    )


def test_doctor_prints_a_table(no_engine):
    output = run("doctor").output
    assert "engine" in output and "→" in output


@pytest.mark.parametrize(("options", "tried"), [((), []), (("--again",), [True])])
def test_doctor_tries_virtual_machines_again_only_when_asked_to(options, tried, no_engine, monkeypatch):
    calls = []

    def choose(again=False):
        calls.append(again)
        raise Unavailable("no virtual machine boots here: it hung", "try another")

    monkeypatch.delenv(accelerator.OVERRIDE, raising=False)
    monkeypatch.setattr(accelerator, "choose", choose)
    monkeypatch.setattr(qemu, "in_container", lambda: False)
    monkeypatch.setattr(accelerator, "cached", choose)
    findings = {finding["what"]: finding for finding in json.loads(run("doctor", "--json", *options).output)}
    assert calls == [*tried, False]
    assert findings["accelerator"]["state"] == "warning" and findings["accelerator"]["fix"] == "try another"


STORED = str(paths.ROOT / "tests" / "recorded" / "startup-version-1.json")


def test_compare_prints_a_table_and_writes_the_plot(tmp_path):
    plot = tmp_path / "plot.svg"
    result = run("compare", STORED, STORED, "--plot", str(plot))
    assert result.exit_code == 0
    assert "container" in result.output and "B / A" in result.output and "TCG" in result.output
    assert plot.read_text().startswith("<svg ")
    as_data = json.loads(run("compare", STORED, STORED, "--json").output)
    assert as_data["differences"] == [] and "container" in as_data["table"]


def test_compare_refuses_in_one_line_and_as_wrong_usage(tmp_path):
    for content in ("", "{}", "not json"):
        other = tmp_path / "other.json"
        other.write_text(content)
        result = run("compare", STORED, str(other))
        assert result.exit_code == cli.USAGE
        assert result.output.startswith("boxlab: ")
    assert run("compare", STORED, str(tmp_path / "none.json")).exit_code == cli.USAGE
