"""The learner's commands: copies, hints, progress, what is handed in, exit status; all of it without an engine."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from types import SimpleNamespace

import pytest
import toy_lab
from click.testing import CliRunner

from boxlab import cli, paths
from boxlab.labs import commands, files, report, run, runner, workspace


def boxlab(*arguments, **options):
    return CliRunner().invoke(cli.main, arguments, **options)


@pytest.fixture
def started(toy):
    assert boxlab("start", "01").exit_code == 0
    return paths.WORK / "01-toy"


def answer(folder, text):
    (folder / "answer.txt").write_text(text)


@pytest.mark.parametrize("name", ["01", "1", "toy", "01-toy"])
def test_a_lab_goes_by_number_slug_or_both(toy, name):
    assert boxlab("start", name).exit_code == 0


@pytest.mark.parametrize("command", ["start", "check", "hint", "reset", "solution", "verify"])
def test_a_lab_that_there_is_not_is_wrong_usage(toy, command):
    result = boxlab(command, "99", *(["--yes"] if command == "reset" else []))
    assert result.exit_code == 2
    assert result.output == "boxlab: there is no lab '99'\n  fix: one of: 01-toy\n"


@pytest.mark.parametrize("command", [("check", "01"), ("reset", "01", "--yes")])
def test_a_lab_that_was_not_started_is_wrong_usage(toy, command):
    result = boxlab(*command)
    assert result.exit_code == 2 and "boxlab start 01" in result.output


def test_start_copies_plants_and_never_overwrites(started):
    assert (started / "number.txt").read_text().isdigit()
    answer(started, "mine")
    again = boxlab("start", "01")
    assert again.exit_code == 0 and "there already" in again.output
    assert (started / "answer.txt").read_text() == "mine"


def test_a_check_says_what_fails_and_then_passes(started):
    result = boxlab("check", "01")
    assert result.exit_code == 1
    for text in ("✗ It says hello.  (0/1)", "hello", "good day", "politeness", "say hello", "2 of 3 points"):
        assert text in result.output
    answer(started, toy_lab.SOLUTION)
    result = boxlab("check", "01")
    assert result.exit_code == 0 and "passed: 3 of 3 points" in result.output


def test_json_is_valid_by_its_schema(started):
    data = json.loads(boxlab("check", "01", "--json").output)
    report.validate(data)
    assert [check["outcome"] for check in data["checks"]] == ["pass", "fail", "pass"]


def test_watch_waits_for_what_lasts_no_longer_and_for_nothing_else(started, toy, monkeypatch):
    """What it waits for, it says with its fix; what does not change by itself ends it."""
    kept = paths.WORK / ".progress" / "01-toy.json"
    spoil = [lambda: started.rename(paths.WORK / "away"), lambda: (paths.WORK / "away").rename(started)]
    spoil += [lambda: (kept.write_text("{"), answer(started, "new\ntrue\n")), lambda: None]
    clock = SimpleNamespace(sleep=lambda seconds: spoil.pop(0)() if spoil else pytest.fail("it waits"))
    monkeypatch.setattr(commands, "time", clock)
    result = boxlab("check", "01", "--watch")
    assert result.exit_code == 3 and "is not what we wrote" in result.stderr and "fix: remove it" in result.stderr
    assert "waiting: 01-toy was not started\n  fix: `boxlab start 01`\n" in result.stderr


@pytest.mark.parametrize(
    ("text", "shown"), [("short", "short"), ("x" * 40, "x" * 17), ("가" * 9, "가" * 8 + " "), ("가" * 8, "가" * 8)]
)
def test_what_is_being_checked_takes_one_row(monkeypatch, text, shown):
    monkeypatch.setattr(os, "get_terminal_size", lambda handle: os.terminal_size((20, 24)))
    monkeypatch.setattr(sys.stderr, "fileno", lambda: 2, raising=False)
    assert commands._cut(text) == shown


def test_a_notebook_gets_the_same_report(started):
    assert "It says hello." in run("01")._repr_html_()


def test_progress_is_kept_and_never_lowered(started):
    def listed():
        return json.loads(boxlab("labs", "--json").output)[0]

    assert (listed()["state"], listed()["points"]) == ("started", 0)
    boxlab("check", "01")
    assert listed()["points"] == 2
    answer(started, toy_lab.SOLUTION)
    boxlab("check", "01")
    answer(started, "\n")
    assert boxlab("check", "01").exit_code == 1
    assert (listed()["state"], listed()["points"]) == ("passed", 3)
    assert "passed" in boxlab("labs").output


def test_infrastructure_is_status_3_and_changes_no_progress(started, toy):
    toy.checks.write_text(toy_lab.CHECKS.replace("same(", "nonsense("))
    result = boxlab("check", "01")
    assert result.exit_code == 3 and "no fault of your answer" in result.output
    assert workspace.progress(toy).points == 0


def test_spoiled_progress_is_said_in_one_line(started, toy):
    (paths.WORK / ".progress" / "01-toy.json").write_text("{")
    result = boxlab("check", "01")
    assert result.exit_code == 3 and "is not what we wrote" in result.output and "Traceback" not in result.output


def test_spoiled_progress_of_one_lab_does_not_take_the_list_of_all(started, toy):
    shutil.copytree(toy.folder, toy.folder.with_name("02-other"))
    (paths.WORK / ".progress" / "01-toy.json").write_text("{")
    data = boxlab("labs", "--json")
    assert [row["state"] for row in json.loads(data.stdout)] == ["unreadable", "not started"]
    text = boxlab("labs")
    assert text.stdout.endswith("next: boxlab start 02\n")
    for result in (data, text):
        assert result.exit_code == 3 and "is not what we wrote" in result.stderr and "fix: remove it" in result.stderr


@pytest.mark.parametrize(
    "text", ["[]", "null", '{"version": 1}', '{"version": 1, "seed": "x"}', '{"version": 0, "seed": 1}']
)
def test_what_is_no_progress_of_ours_is_said_in_one_line(started, text):
    (paths.WORK / ".progress" / "01-toy.json").write_text(text)
    result = boxlab("hint", "01")
    assert result.exit_code == 3 and "is not what we wrote" in result.output


def test_progress_of_an_older_version_is_upgraded_and_of_a_newer_one_left_alone(started, toy, monkeypatch):
    file = paths.WORK / ".progress" / "01-toy.json"
    file.write_text('{"version": 0, "seed": 7, "read": 2}')
    monkeypatch.setitem(workspace._UPGRADES, 0, lambda old: {"version": 1, "seed": old["seed"], "hints": old["read"]})
    assert boxlab("hint", "01").output.startswith("hint 3 of 3")
    assert json.loads(file.read_text())["version"] == 1
    newer = '{"version": 2, "seed": 7, "stars": 5}'
    file.write_text(newer)
    result = boxlab("hint", "01")
    assert result.exit_code == 3 and "newer boxlab" in result.output and file.read_text() == newer


def test_hints_come_one_by_one_and_are_remembered(started):
    shown = [boxlab("hint", "01").output for _ in range(4)]
    assert ["a nudge" in shown[0], "a pointer" in shown[1], "nearly" in shown[2], "nearly" in shown[3]] == [True] * 4
    assert shown[0].startswith("hint 1 of 3") and "hint 3 of 3\n" in shown[2]
    assert "hint 3 of 3: the last one again" in shown[3] and "boxlab solution 01 --give-up" in shown[3]


def test_reset_keeps_what_there_was(started):
    answer(started, "mine")
    boxlab("hint", "01")
    result = boxlab("reset", "01", "--yes")
    assert boxlab("hint", "01").output.startswith("hint 1 of 3")
    kept = [path for path in paths.WORK.glob("01-toy.*") if path.is_dir()]
    assert result.exit_code == 0 and str(kept[0]) in result.output and f"`cd {started}`" in result.output
    assert (kept[0] / "answer.txt").read_text() == "mine"
    assert (started / "answer.txt").read_text().startswith("good day")


@pytest.mark.parametrize("step", ["copy", "plant", "write", "rename", "move"])
def test_a_reset_that_fails_at_any_step_leaves_the_old_copy_or_a_new_one(started, monkeypatch, step):
    """Also where the disk is full, and whatever comes then."""
    answer(started, "mine")
    boxlab("hint", "01")

    renamed = type(started).rename

    def full(*_):
        raise OSError(28, "No space left on device", "x")

    def moved(path, to):
        return full() if path == started else renamed(path, to)

    steps = {"copy": workspace.disk, "plant": runner, "write": workspace.disk, "rename": type(started)}
    with monkeypatch.context() as patched:
        patched.setattr(*((type(started), "rename", moved) if step == "move" else (steps[step], step, full)))
        result = boxlab("reset", "01", "--yes")
    assert result.exit_code == 3 and "No space left on device" in result.output and "fix: make room" in result.output
    assert boxlab("start", "01").output.startswith("there already")
    assert (started / "answer.txt").read_text() == "mine"
    assert sorted(path.name for path in paths.WORK.iterdir()) == [".progress", "01-toy"]
    assert json.loads(boxlab("labs", "--json").output)[0]["hints"] == 1
    assert boxlab("reset", "01", "--yes").exit_code == 0


@pytest.mark.parametrize("command", [("start", "01"), ("check", "01"), ("hint", "01"), ("reset", "01", "--yes")])
@pytest.mark.parametrize("moved", [True, False])
def test_a_reset_that_is_killed_is_ended_or_forgotten_by_the_next_command(started, command, moved):
    """Killed once its new copy was complete: after the old one was moved, or before."""
    answer(started, "mine\ntrue\n")
    shutil.copytree(started, paths.WORK / ".01-toy.complete")
    (paths.WORK / ".01-toy.complete" / "answer.txt").write_text("new\ntrue\n")
    (paths.WORK / ".01-toy.new").mkdir()
    if moved:
        started.rename(paths.WORK / "01-toy.kept")
    assert boxlab(*command).exit_code in (0, 1)
    hidden = [path.name for path in paths.WORK.iterdir() if path.name.startswith(".")]
    assert hidden == [".progress"]
    texts = {path.read_text().split()[0] for path in paths.WORK.glob("01-toy*/answer.txt")}
    assert texts >= ({"mine", "new"} if moved else {"mine"})


def test_reset_asks_and_where_nobody_answers_it_does_nothing(started):
    answer(started, "mine")
    assert boxlab("reset", "01").exit_code == 2
    assert (started / "answer.txt").read_text() == "mine"


def test_reset_of_a_lab_that_was_not_started_asks_nothing(toy):
    result = boxlab("reset", "01")
    assert result.exit_code == 2 and "was not started" in result.output


def test_the_list_names_the_next_lab(toy):
    other = shutil.copytree(toy.folder, toy.folder.with_name("01-other"))
    assert boxlab("labs").output.endswith("next: boxlab start 01-other\n")
    shutil.rmtree(other)
    assert boxlab("labs").output.endswith("next: boxlab start 01\n")
    started = paths.WORK / "01-toy"
    boxlab("start", "01")
    assert boxlab("labs").output.endswith("next: boxlab check 01\n")
    answer(started, toy_lab.SOLUTION)
    boxlab("check", "01")
    assert boxlab("labs").output.endswith("all passed\n")


def test_the_solution_is_for_those_who_passed_or_gave_up(started, toy):
    refused = boxlab("solution", "01")
    assert refused.exit_code == 2 and "hello" not in refused.output
    given = boxlab("solution", "01", "--give-up")
    assert given.exit_code == 0 and toy_lab.SOLUTION in given.output
    assert workspace.progress(toy).gave_up
    answer(started, toy_lab.SOLUTION)
    boxlab("check", "01")
    assert boxlab("solution", "01").exit_code == 0


def test_only_what_lab_toml_names_is_read_and_that_from_labs(started):
    """A learner who edits the rules edits a copy that nobody reads."""
    (started / "lab.toml").write_text("points = 100")
    (started / "checks.py").write_text("raise SystemExit(0)")
    (started / "-rf \n \x1b[31m").write_text("an odd name")
    (started / "number.txt").write_text("42")
    answer(started, "hello\necho 42\n")
    data = json.loads(boxlab("check", "01", "--json").output)
    assert [check["outcome"] for check in data["checks"]] == ["pass", "pass", "fail"]


def missing(path):
    path.unlink()


def binary(path):
    path.write_bytes(b"hello\n\x00\xff")


def windows(path):
    path.write_text("hello\ncat number.txt\n", encoding="utf-16")


def without_mark(path):
    path.write_text("hello\ncat number.txt\n", encoding="utf-16-be")


def wider(path):
    path.write_text("hello\ncat number.txt\n", encoding="utf-32")


def western(path):
    path.write_text("h\xe9llo\n", encoding="latin-1")


def enormous(path):
    path.unlink()
    with path.open("wb") as file:
        file.truncate(1 << 40)


def link(path):
    path.unlink()
    path.symlink_to("/etc/passwd")


def folder(path):
    path.unlink()
    path.mkdir()


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def script_of_windows(path):
    path.write_bytes(b"#!/bin/sh\r\necho\r\n")


def script_with_a_mark(path):
    path.write_text("#!/bin/sh\n", encoding="utf-8-sig")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (missing, "was missing, and is the starter's now: answer.txt"),
        (binary, "byte 6 (0x00) is no text"),
        (windows, "it is text in UTF-16"),
        (without_mark, "it is text in UTF-16"),
        (wider, "it is text in UTF-32"),
        (western, "byte 1 (0xe9) is no text"),
        (enormous, "1048576.0 MiB"),
        (link, "it is a symbolic link"),
        (folder, "it is a folder"),
        (pipe, "it is a pipe or a device"),
        (script_of_windows, "its lines end as on Windows (CRLF)"),
        (script_with_a_mark, "a mark (BOM) stands before #!"),
    ],
)
def test_a_file_that_is_none_fails_in_clear_words(started, spoil, words):
    spoil(started / "answer.txt")
    result = boxlab("check", "01")
    assert result.exit_code == 1
    assert words in result.output and "answer.txt" in result.output and "Traceback" not in result.output


def test_a_file_that_is_missing_elsewhere_is_told(started, toy):
    """In a folder that was handed in, nothing is laid in."""
    missing(started / "answer.txt")
    assert "there is none" in runner.run(toy, started, 1).results[0].actual


@pytest.mark.parametrize("command", ["start", "check"])
def test_what_the_starter_has_got_since_is_laid_in_and_nothing_overwritten(started, toy, command):
    answer(started, toy_lab.SOLUTION)
    (toy.starter / "more").mkdir()
    (toy.starter / "more" / "new.txt").write_text("new")
    result = boxlab(command, "01")
    assert result.exit_code == 0 and "was missing, and is the starter's now: more/new.txt" in result.output
    assert (started / "more" / "new.txt").read_text() == "new"
    assert (started / "answer.txt").read_text() == toy_lab.SOLUTION
    assert "missing" not in boxlab(command, "01").output


def test_what_is_not_handed_in_is_named_where_something_fails(started):
    for name in (".dockerignore", "util.py", "answer.txt~"):
        (started / name).write_text("mine")
    for name in (".git", "__pycache__"):
        (started / name).mkdir()
    assert "not handed in, and not read: .dockerignore, util.py\n" in boxlab("check", "01").output
    answer(started, toy_lab.SOLUTION)
    assert "not handed in" not in boxlab("check", "01").output


def test_a_script_can_still_be_executed_where_it_is_checked(places):
    toy = toy_lab.make(places / "labs", toml=toy_lab.TOML.replace('"note.txt"', '"note.txt", "start.sh"'))
    (places / "note.txt").write_text("")
    (places / "answer.txt").write_text("42")
    (places / "start.sh").write_text("#!/bin/sh\n")
    before = files.digest(places / "start.sh")
    (places / "start.sh").chmod(0o755)
    assert files.digest(places / "start.sh") != before
    assert files.stage(toy, places, places / "staged" / "work") is None
    assert os.access(places / "staged" / "work" / "start.sh", os.X_OK)
    assert not os.access(places / "staged" / "work" / "answer.txt", os.X_OK)


def test_a_file_through_a_linked_folder_is_refused(places):
    toy = toy_lab.make(places / "labs", toml=toy_lab.TOML.replace('"note.txt"', '"notes/note.txt"'))
    boxlab("start", "01")
    (paths.WORK / "01-toy" / "notes").symlink_to("/etc")
    assert boxlab("check", "01").exit_code == 1
    assert toy.files == ("answer.txt", "notes/note.txt")


def test_a_full_disk_is_infrastructure(started, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(files.disk, "copy", full)
    result = boxlab("check", "01")
    assert result.exit_code == 3 and "No space left on device" in result.output and "make room" in result.output


def test_a_check_on_a_disk_that_is_full_keeps_its_verdict(started, monkeypatch):
    """What it found is said, and then where how far you came could not be kept."""
    answer(started, toy_lab.SOLUTION)

    def full(path, text):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(workspace.disk, "write", full)
    result = boxlab("check", "01")
    assert result.exit_code == 3 and "passed: 3 of 3 points" in result.output
    kept = paths.WORK / ".progress" / "01-toy.json"
    said = " ".join(result.output.replace("\n", "").split())
    assert str(kept).replace(" ", "") in said.replace(" ", "") and "fix: make room" in said
    data = boxlab("check", "01", "--json")
    assert json.loads(data.stdout)["outcome"] == "pass" and "fix: make room" in data.stderr and data.exit_code == 3
    assert "make room" in run("01")._repr_html_()


def test_what_a_check_has_left_that_cannot_go_does_not_take_its_verdict(started, monkeypatch):
    def refused(path):
        raise OSError(16, "Device or resource busy", str(path))

    monkeypatch.setattr(runner.disk, "remove", refused)
    monkeypatch.setattr(workspace, "_settle", lambda lab: None)
    result = boxlab("check", "01")
    assert result.exit_code == 3 and "2 of 3 points" in result.output and "Device or resource busy" in result.output


def test_a_file_that_may_not_be_read_is_infrastructure(started, monkeypatch):
    opened = os.open

    def refused(path, *arguments, **options):  # root may read everything, so that a mode of 0 would not do
        if path == started / "answer.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refused)
    result = boxlab("check", "01")
    assert result.exit_code == 3
    assert "answer.txt: Permission denied" in result.output and "give yourself the right to it" in result.output


@pytest.fixture
def hanging(places):
    """A check that hangs, begun as the learner begins it."""
    toy_lab.make(places / "labs", toy_lab.HANGS)
    process = toy_lab.check(places)
    toy_lab.wait_until((places / "cache" / "begun").exists)
    yield process
    process.kill()
    process.wait()
    process.stderr.close()


def left(places):
    """Scratch files of this test, and processes that work there."""
    commands = subprocess.run(["ps", "-A", "-ww", "-o", "command"], capture_output=True, text=True, check=True).stdout
    working = [line for line in commands.splitlines() if "boxlab.labs.child" in line and str(places) in line]
    return working + list((places / "cache" / "scratch").iterdir())


def test_two_checks_at_once_say_so_in_one_line(hanging):
    result = boxlab("check", "01")
    assert result.exit_code == 3
    assert f"another command works on 01-toy (process {hanging.pid})" in result.output


def test_where_a_file_system_has_no_locks_it_goes_without(toy, monkeypatch):
    def refused(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(workspace.fcntl, "flock", refused)
    assert boxlab("start", "01").exit_code == 0
    assert boxlab("check", "01").exit_code == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_it_in_one_line_and_leaves_nothing(hanging, places, number):
    hanging.send_signal(number)
    _, error = hanging.communicate()
    assert hanging.returncode == 130
    assert error == "boxlab: interrupted; nothing of ours is left running\n"
    assert left(places) == []


def test_a_runner_that_is_killed_takes_its_checks_with_it(hanging, places):
    hanging.kill()
    hanging.wait()
    toy_lab.wait_until(lambda: not any("boxlab.labs.child" in str(item) for item in left(places)))
    toy_lab.make(places / "labs")
    boxlab("check", "01")
    assert left(places) == [], "and the next check removes what it has left"


def test_what_a_killed_check_had_on_the_engine_goes_before_its_folder(started, places, monkeypatch):
    left = places / "cache" / "scratch" / "lab-01-toy-0123456789ab"
    left.mkdir(parents=True)
    done, swept = runner._do, []

    def silent(job, seconds):
        swept.append((job["run"], left.is_dir()))
        return runner.Trouble(runner.SILENT, "")

    with monkeypatch.context() as patched:
        patched.setattr(runner, "_do", silent)
        result = boxlab("check", "01")
    assert swept == [("0123456789ab", True)] and left.is_dir()
    assert result.exit_code == 3 and "2 of 3 points" in result.output and "the engine does not answer" in result.output
    monkeypatch.setattr(runner, "_do", lambda job, seconds: done(job, seconds) or swept.append(job["keep"]))
    assert boxlab("check", "01").exit_code == 1
    assert swept[1:] == [str(left)] and not left.exists()


def test_the_runner_imports_nothing_that_takes_long():
    script = "import sys, boxlab.cli, boxlab.labs.workspace; print([m for m in sys.modules if m in %r])"
    heavy = ("docker", "pandas", "numpy", "scipy", "matplotlib", "rich", "psutil", "requests")
    printed = subprocess.run([sys.executable, "-c", script % (heavy,)], capture_output=True, text=True, check=True)
    assert printed.stdout == "[]\n"


def test_a_copied_starter_stays_writable(started):
    assert (started / "answer.txt").stat().st_mode & stat.S_IWUSR
