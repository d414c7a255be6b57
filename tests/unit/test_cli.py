import json

import pytest
from command import boxlab as run

from boxlab import cli, doctor, engine, experiments, paths, sweep
from boxlab.doctor import State
from boxlab.labs import commands
from boxlab.runtimes import qemu


@pytest.fixture
def no_engine(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    for find in ("processes", "control_groups", "scratch_files"):  # what is on this machine now is not a test's to end
        monkeypatch.setattr(sweep, find, list)
    engine.connect.cache_clear()
    yield
    engine.connect.cache_clear()


def test_help_names_every_command():
    output = run("--help").output
    for name in ("doctor", "prepare", "compare", "clean", *cli.EXPERIMENTS, *(c.name for c in commands.ALL)):
        assert name in output


def test_every_experiment_has_a_command_and_every_command_an_experiment():
    functions = {name for name in experiments.__all__ if callable(getattr(experiments, name)) and name.islower()}
    assert functions - {"profile", "engine_figure"} == {name.replace("-", "_") for name in cli.EXPERIMENTS}


@pytest.mark.parametrize("arguments", [("startup", "--rounds", "many"), ("nonsense",), ("startup", "--no-such-option")])
def test_wrong_usage_is_status_2(arguments):
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("command", ["prepare", "clean", *cli.EXPERIMENTS])
def test_without_an_engine_one_line_and_its_fix_and_status_3(no_engine, command):
    result = run(command)
    assert result.exit_code == cli.INFRASTRUCTURE
    assert result.output.splitlines()[-2].startswith("boxlab: no engine answers")
    assert result.output.splitlines()[-1].startswith("  fix: ")


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
