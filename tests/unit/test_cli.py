import json

import pytest
from click.testing import CliRunner

from boxlab import cli, doctor, engine
from boxlab.doctor import State
from boxlab.runtimes import qemu


@pytest.fixture
def no_engine(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    engine.connect.cache_clear()
    yield
    engine.connect.cache_clear()


def run(*arguments):
    return CliRunner().invoke(cli.main, arguments)


def test_help_names_every_command():
    output = run("--help").output
    for name in ("doctor", "prepare", "startup", "clean"):
        assert name in output


@pytest.mark.parametrize("arguments", [("startup", "--rounds", "many"), ("nonsense",), ("startup", "--no-such-option")])
def test_wrong_usage_is_status_2(arguments):
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("command", ["prepare", "startup", "clean"])
def test_without_an_engine_one_line_and_its_fix_and_status_3(no_engine, command):
    result = run(command)
    assert result.exit_code == cli.INFRASTRUCTURE
    assert result.output.splitlines()[-2].startswith("boxlab: no engine answers")
    assert result.output.splitlines()[-1].startswith("  fix: ")
    assert "Traceback" not in result.output


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


def test_doctor_prints_a_table(no_engine):
    output = run("doctor").output
    assert "engine" in output and "→" in output
