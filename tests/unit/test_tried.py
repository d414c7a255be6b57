"""Where the book was tried: the table of machines, and what is made of what a machine answers, with this machine's shell in
place of a guest."""

import itertools
import json
import re

import command
import pytest
from machines import machine

from boxlab import paths, records


def tried(monkeypatch, tmp_path, commands, row):
    monkeypatch.setattr(machine, "FACTS", {"release": "echo some Linux", "commit": "echo 1e21d3d"})
    monkeypatch.setattr(machine, "TABLE", {"machines": {"toy": {"says": "a toy", "tries": row}}, "tries": commands})
    monkeypatch.setattr(machine, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(machine, "README", tmp_path / "README.md")
    machine.README.write_text("before\n\n| machine | held |\n|---|\n| old |\n\nafter\n")
    checkout = tmp_path / "a checkout"
    (checkout / "notebooks" / "results").mkdir(parents=True)
    status = machine.main(["try", "toy", str(checkout), "", "bash", "-c"])
    return status, json.loads((tmp_path / "results" / "toy.json").read_text())


def test_a_try_that_does_not_hold_is_said_and_the_next_is_made(monkeypatch, tmp_path, capfd):
    commands = {"bad": {"command": "echo why >&2; false"}, "good": {"command": "true"}}
    status, found = tried(monkeypatch, tmp_path, commands, ["bad", "good"])
    assert status == 1
    assert {what: one["held"] for what, one in found["tries"].items()} == {"bad": False, "good": True}
    assert machine.README.read_text() == f"before\n\n{machine.readme()}\nafter\n"
    assert found["tries"]["bad"]["last"] == "why" and found["release"] == "some Linux"
    assert "bad" in capfd.readouterr().err


@pytest.mark.parametrize(("said", "held"), [("the fix", True), ("nothing", False)])
def test_a_refusal_holds_only_with_its_fix(monkeypatch, tmp_path, said, held):
    commands = {"refused": {"command": f"echo {said}; exit 2", "status": 2, "says": "the fix"}}
    status, found = tried(monkeypatch, tmp_path, commands, ["refused"])
    assert found["tries"]["refused"]["held"] is held and status == (0 if held else 1)


def test_a_try_has_its_labs_number_and_its_record_is_kept(monkeypatch, tmp_path):
    commands = {
        "lab NN": {"command": "echo lab NN"},
        "startup": {
            "command": f"echo '[\"{tmp_path}/a\"]' >notebooks/results/startup.local.json",
            "record": "startup",
        },
    }
    _, found = tried(monkeypatch, tmp_path, commands, ["lab 06", "startup"])
    assert found["tries"]["lab 06"]["last"] == "lab 06"
    assert json.loads((tmp_path / "results" / "toy-startup.json").read_text()) == ["./a"]


def test_a_machine_that_is_lost_has_no_result(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="cannot be reached"):
        tried(monkeypatch, tmp_path, {"lost": {"command": f"exit {machine.LOST}"}}, ["lost"])
    assert not (tmp_path / "results").exists()


def test_what_was_tried_before_a_machine_was_lost_is_kept(monkeypatch, tmp_path):
    commands = {"good": {"command": "true"}, "lost": {"command": f"exit {machine.LOST}"}}
    with pytest.raises(SystemExit, match="cannot be reached"):
        tried(monkeypatch, tmp_path, commands, ["good", "lost"])
    assert json.loads((tmp_path / "results" / "toy.json").read_text())["tries"]["good"]["held"]


def test_some_of_the_tries_are_run_and_nothing_is_written(monkeypatch, tmp_path, capfd):
    commands = {"good": {"command": "true"}, "bad": {"command": "false"}}
    monkeypatch.setattr(machine, "TABLE", {"machines": {"toy": {"tries": ["good", "bad"]}}, "tries": commands})
    monkeypatch.setattr(machine, "RESULTS", tmp_path / "results")
    assert machine.main(["try", "toy", str(tmp_path), "good", "bash", "-c"]) == 0
    assert machine.main(["try", "toy", str(tmp_path), "good,bad", "bash", "-c"]) == 1
    assert machine.main(["try", "toy", str(tmp_path), "goood", "bash", "-c"]) == 2
    assert "not tried on toy: goood" in capfd.readouterr().err and not (tmp_path / "results").exists()


def test_the_readme_has_the_results_there_are():
    assert machine.readme() in machine.README.read_text(encoding="utf-8")


def test_each_machine_has_tries_and_each_try_is_made_somewhere():
    rows = machine.TABLE["machines"].values()
    assert {machine.kind(what) for row in rows for what in row["tries"]} == set(machine.TABLE["tries"])
    assert all(row["says"] and ("suite" in row or row["guest"] is False) for row in rows)


def test_the_page_says_what_each_try_is():
    page = (paths.ROOT / "book" / "tried.md").read_text()
    said = {
        name
        for row in re.findall(r"^\| (`.+) \| ", page, re.MULTILINE)
        for name in re.findall("`([^`]+)`", row.partition(" | ")[0])
    }
    assert {what.removesuffix(" NN") for what in machine.TABLE["tries"]} == said


def test_results_are_of_machines_that_there_are():
    records = {asked["record"] for asked in machine.TABLE["tries"].values() if "record" in asked}
    for file in machine.RESULTS.glob("*.json"):
        name, _dash, record = file.stem.rpartition("-")
        if record in records and name in machine.TABLE["machines"]:
            made = json.loads(file.read_text())
            assert made["steps"] if record == "commands" else made["experiment"] == record
            continue
        found = json.loads(file.read_text())
        assert {machine.kind(what) for what in found["tries"]} <= set(machine.TABLE["tries"])
        assert file.stem in machine.TABLE["machines"] and machine.FACTS.keys() < found.keys()


def test_the_records_are_as_the_page_says():
    starts = {file: records.load(file) for file in machine.RESULTS.glob("*-startup.json")}
    assert len(starts) >= 7
    for file, record in starts.items():
        assert record.median("container").value > record.median("process").value, file.name
    shims = {
        file.stem.removesuffix("-memory"): records.load(file).median("container", "shim").value
        for file in machine.RESULTS.glob("*-memory.json")
    }
    of_podman = {name for name in shims if name.startswith("podman")}
    assert of_podman and max(shims[name] for name in of_podman) < min(shims[name] for name in shims.keys() - of_podman)


def test_podmans_commands_are_as_chapter_10_says():
    rootless = json.loads((machine.RESULTS / "rootless-commands.json").read_text())["steps"]
    maps = [step["output"] for step in rootless if "uid_map" in step["command"]]
    steps = json.loads((machine.RESULTS / "podman-rootless-commands.json").read_text())["steps"]
    said = {step["command"].split(" -")[0]: step["output"] for step in steps}
    assert re.search(r"^learner +(\d+) +1 conmon\nlearner +\d+ +\1 sleep$", said["ps"], re.MULTILINE)
    assert [said["podman unshare cat /proc/self/uid_map"]] == maps
    assert "podman" in said["docker"]


def test_rootless_dockers_commands_are_as_chapter_10_says():
    steps = json.loads((machine.RESULTS / "rootless-commands.json").read_text())["steps"]
    security, daemon, user, ids, shadow = (step["output"] for step in steps)
    assert "name=rootless" in security and re.search(r"^learner +dockerd$", daemon, re.MULTILINE)
    assert user.strip() == "0" and re.search(r"^ +0 +[1-9]\d* +1$", ids, re.MULTILINE)
    assert "Permission denied" in shadow


def test_the_records_side_by_side_are_as_how_we_measure_says():
    beside = [file.stem.removesuffix("-onion") for file in machine.RESULTS.glob("*-onion.json")]
    assert {json.loads((machine.RESULTS / f"{name}.json").read_text())["control_groups"] for name in beside} == {
        "tmpfs",
        "cgroup2fs",
    }
    memory = {name: records.load(machine.RESULTS / f"{name}-memory.json") for name in beside}
    for name in beside:
        onion = records.load(machine.RESULTS / f"{name}-onion.json")
        assert onion.median("process").value < onion.median("engine-none").value
        assert onion.ratio("engine-bridge", "engine-none").low > 1, name  # a network adds to a start
        assert memory[name].median("container", "cgroup_file").value == 0, name
    for metric in ("cgroup_anon", "cgroup_usage"):  # nearly the same
        values = [record.median("container", metric).value for record in memory.values()]
        assert max(values) < 1.05 * min(values), metric
    shims = sorted(record.median("container", "shim").value for record in memory.values())
    assert all(larger > 1.1 * less for less, larger in itertools.pairwise(shims))  # what differs


@pytest.mark.parametrize(("name", "file", "anonymous"), [("current", "cache", "rss"), ("reader", "file", "anon")])
def test_a_file_that_a_container_reads_is_charged_as_how_we_measure_says(name, file, anonymous):
    steps = json.loads((machine.RESULTS / f"{name}-commands.json").read_text())["steps"]
    said = {step["command"].split()[1]: step["output"] for step in steps}
    charged = {what: int(size) for what, size in re.findall(r"([a-z_]+) (\d+)$", said["exec"], re.MULTILINE)}
    assert charged.keys() == {file, anonymous, "inactive_file"}
    read = 64 << 20  # weights.bin
    assert all(read <= charged[what] < 1.25 * read for what in (file, "inactive_file"))
    assert float(said["stats"].partition("MiB")[0]) * 2**20 < read / 4  # docker stats leaves it out


def test_a_row_is_assignments_of_a_shell(monkeypatch):
    row = {"says": "it's one", "suite": "sid", "packages": "a b", "sudo": True, "tries": []}
    monkeypatch.setattr(machine, "TABLE", {"machines": {"toy": row}})
    shown = command.run(
        "sh",
        "-c",
        f'{machine.describe("toy")}\nprintf "%s|" "$SAYS" "$PACKAGES" "$SUDO" "$LOGIN" "$PROCESSORS" "$GUEST"',
    )
    assert shown.stdout == "it's one|a b|true|root|2|true|"


def test_a_machine_that_there_is_not_is_no_row():
    assert machine.main(["describe", "nosuch"]) == 1


def test_what_needs_a_virtual_machine_where_none_boots_counts_as_not_tried(monkeypatch, tmp_path):
    says = f"echo {machine.NO_VM}: too slow"
    commands = {
        "lab": {"command": f"{says}; exit 3"},
        "doctor": {"command": says},
        "bad": {"command": f"{says}; exit 1"},
    }
    status, found = tried(monkeypatch, tmp_path, commands, list(commands))
    assert status == 1
    assert {what: one["held"] for what, one in found["tries"].items()} == {"lab": None, "doctor": True, "bad": False}
    assert "| a toy | doctor | bad | lab |" in machine.README.read_text()


BOOTING = """set -euo pipefail
HERE=. NAME=m ARCHITECTURE=amd64 NETWORK=open PROCESSORS=2 MEMORY_MIB=64 DISK=d LIMIT_S=600 BEFORE=true KERNEL_OPTIONS= QEMU=./qemu
say() { echo "$@"; }
fail() { say "$1"; exit 3; }
process() { [ -e runs ]; }
write_ssh_config() { :; }
guest_root() { :; }
guest() { [ "$(wc -l <boots)" -ge GOOD ] || { rm runs; false; }; } # it panics until then
end() { rm -f runs; }
stop() { :; }
"""


@pytest.mark.parametrize(("good", "status", "boots", "runs"), [(1, 0, 1, True), (3, 0, 3, True), (4, 3, 3, False)])
def test_a_machine_whose_kernel_panics_as_it_boots_is_booted_three_times_at_most(tmp_path, good, status, boots, runs):
    script = (paths.ROOT / "tools" / "machines.sh").read_text()
    boot = re.search(r"^boot\(\) \{.*?^\}", script, re.MULTILINE | re.DOTALL)[0]
    programs = {
        "qemu": "echo >>boots; touch runs",
        ".venv/bin/python": "echo tcg 1",
        "tools/engine.sh": 'shift; exec "$@"',
    }
    for name, text in programs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    done = command.run("bash", "-c", BOOTING.replace("GOOD", str(good)) + boot + "\nboot", cwd=tmp_path)
    assert done.returncode == status, done.stdout + done.stderr
    assert len((tmp_path / "boots").read_text().splitlines()) == boots
    assert (tmp_path / "runs").exists() is runs
    assert ("it does not boot" in done.stdout) is not runs


def test_what_is_left_is_tried_again_and_joins_what_had_held(monkeypatch, tmp_path):
    row = {"good": {"command": "echo once"}, "bad": {"command": "false"}, "new": {"command": "true"}}
    status, before = tried(monkeypatch, tmp_path, row, ["good", "bad"])
    assert status == 1
    machine.TABLE["machines"]["toy"]["tries"] = ["new", "good", "bad"]
    row |= {"bad": {"command": "echo mended"}, "good": {"command": "echo twice"}}
    assert machine.left("toy") == ["new", "bad"]
    assert machine.main(["try", "toy", str(tmp_path / "a checkout"), "left", "bash", "-c"]) == 0
    after = json.loads((tmp_path / "results" / "toy.json").read_text())
    assert [(what, one["held"], one["last"]) for what, one in after["tries"].items()] == [
        ("new", True, ""),
        ("good", True, "once"),
        ("bad", True, "mended"),
    ]
    assert after["tries"]["good"] == before["tries"]["good"] and machine.left("toy") == []


def test_the_record_of_what_held_stays_and_that_of_what_fails_now_does_not(monkeypatch, tmp_path):
    row = {name: {"command": "true", "record": name} for name in ("startup", "memory")}
    monkeypatch.setattr(machine, "TABLE", {"machines": {"toy": {"says": "a toy", "tries": [*row]}}, "tries": row})
    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    held = {name: {"held": True, "tried": "2026-11-28"} for name in row}
    machine.keep("toy", {"tries": held}, dict.fromkeys(row, "once"))
    fails = {"startup": {"held": False, "tried": "2026-11-28"}}
    machine.keep("toy", *machine.together("toy", {"tries": fails}, {}))
    assert not (tmp_path / "toy-startup.json").exists()
    assert (tmp_path / "toy-memory.json").read_text() == "once\n"


def test_what_was_tried_on_several_days_says_the_first_and_the_last(monkeypatch, tmp_path):
    tried(monkeypatch, tmp_path, {"a": {"command": "true"}}, ["a"])
    several = {day: {"held": True, "tried": f"2026-11-{day}T10:00:00+00:00"} for day in ("28", "26", "27")}
    machine.keep("toy", {"tries": several}, {})
    assert json.loads((tmp_path / "results" / "toy.json").read_text())["days"] == "2026-11-26 to 2026-11-28"
