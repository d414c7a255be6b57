"""Where the book was tried: the table of machines, and what it makes of what a machine answers."""

import json
import sys

import command
import pytest
import yaml

from boxlab import paths

MACHINES = paths.ROOT / "tests" / "machines"
TABLE = yaml.safe_load((MACHINES / "machines.yml").read_text(encoding="utf-8"))
SSH = """#!/bin/sh
# A login that runs the command here.
shift 3
cd {home} && exec sh -c "$1"
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """The script on a table of its own, with an ssh that stays on this machine."""
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(SSH.format(home=tmp_path))
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:/usr/bin:/bin")
    script = tmp_path / "machine.py"
    script.write_text((MACHINES / "machine.py").read_text())

    def run(*words, **table):
        (tmp_path / "machines.yml").write_text(json.dumps(table))
        return command.run(sys.executable, script, *map(str, words))

    return run


def test_each_machine_has_tries_and_each_try_is_made_somewhere():
    made = [what for row in TABLE["machines"].values() for what in row["tries"]]
    assert set(made) == set(TABLE["tries"])
    assert all(row["suite"] and row["says"] for row in TABLE["machines"].values())


def test_results_are_of_machines_that_there_are():
    for file in (MACHINES / "results").glob("*.json"):
        found = json.loads(file.read_text())
        assert found["tries"].keys() <= set(TABLE["tries"]) and file.stem in TABLE["machines"]
        assert {"virtualization", "kernel", "release", "control_groups", "python", "engine", "commit"} < found.keys()


def test_what_holds_what_does_not_and_what_was_expected_to_fail(machine, tmp_path):
    tries = {
        "good": {"command": "echo one; echo two"},
        "bad": {"command": "echo three; false"},
        "refused": {"command": "echo sorry; exit 2", "status": 2, "says": "sorry"},
        "silent": {"command": "true", "says": "sorry"},
    }
    done = machine("try", "toy", "config", tmp_path, machines={"toy": {"tries": list(tries)}}, tries=tries)
    found = json.loads((tmp_path / "results" / "toy.json").read_text())["tries"]
    assert done.returncode == 1 and "toy, bad" in done.stderr
    assert {what: (tried["held"], tried["status"], tried["last"]) for what, tried in found.items()} == {
        "good": (True, 0, "two"),
        "bad": (False, 1, "three"),
        "refused": (True, 2, "sorry"),
        "silent": (False, 0, ""),
    }


def test_a_row_is_assignments_of_a_shell(machine):
    row = {"says": "it's one", "suite": "sid", "packages": "a b", "sudo": True, "tries": []}
    said = machine("describe", "toy", machines={"toy": row}).stdout
    shown = command.run("sh", "-c", f'{said}\nprintf "%s|" "$SAYS" "$PACKAGES" "$SUDO" "$LOGIN" "$PROCESSORS"').stdout
    assert shown == "it's one|a b|true|root|2|"


def test_a_machine_that_there_is_not_is_no_row(machine):
    assert machine("describe", "nosuch", machines={}).returncode == 1


def test_a_machine_that_is_lost_has_no_result(machine, tmp_path):
    tries = {"gone": {"command": "exit 255"}}
    done = machine("try", "toy", "config", tmp_path, machines={"toy": {"tries": ["gone"]}}, tries=tries)
    assert done.returncode == 1 and "fix: " in done.stderr
    assert not (tmp_path / "results").exists()
