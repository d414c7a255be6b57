"""Which of the four outcomes a check has, and how a report says it."""

import json
import os
import subprocess

import psutil
import pytest
import toy_lab

from boxlab import paths
from boxlab.errors import BoxlabError
from boxlab.labs import report, runner

SCRATCH = paths.SCRATCH
"""That of the commands and processes that a test starts, which know no `places`."""


def test_a_report_as_text_html_and_json_says_the_same(toy):
    found = runner.run(toy, toy.starter, 1)
    data = found.to_json()
    report.validate(json.loads(json.dumps(data)))
    assert data["outcome"] == "fail" and data["points"] == 2
    html = found._repr_html_()
    for text in ("expected", "hello", "actual", "good day", "politeness", "say hello", "It says hello."):
        assert text in found.to_text(width=100) and text in html
    assert repr(found) == found.to_text(width=120)


def test_a_learners_text_is_neither_markup_nor_html(toy, places):
    (places / "mine").mkdir()
    (places / "mine" / "answer.txt").write_text("[red]<script>alert(1)</script>\ntrue\n")
    found = runner.run(toy, places / "mine", 1)
    assert "[red]<script>" in found.to_text(width=100)
    assert "<script>" not in found._repr_html_() and "&lt;script&gt;" in found._repr_html_()


def test_the_caret_stands_below_the_difference_in_the_text(toy):
    lines = runner.run(toy, toy.starter, 1).to_text(width=100).splitlines()
    [caret] = [line for line in lines if line.strip() == "^"]
    actual = next(line for line in lines if "good day" in line)
    assert actual[caret.index("^")] == "g"


BODIES = {
    "pass": "pass",
    "fail": "raise Mismatch('e', 'a', 'w', 'n')",
    "infrastructure: no engine": "raise EngineError('no engine', 'start it')",
    "infrastructure: make room": "raise OSError(28, 'No space left on device', 'x')",
    "infrastructure: a mistake in the checks, not in your answer: ZeroDivisionError": "1 / 0",
    "infrastructure: ended by itself (exit status 3)": "os._exit(3)",
    "infrastructure: ended by itself (signal SIGSEGV)": "os.kill(os.getpid(), 11)",
    "infrastructure: ended by itself (exit status 4)": "sys.exit(4)",
    "infrastructure: ended by itself (exit status 0)": "sys.exit(0)",
    "infrastructure:  ended by itself (exit status 0)": "os._exit(0)",
    "infrastructure: ended by itself (exit status 1)": "sys.exit('said')",
    "infrastructure: ended by itself (exit status 130)": "raise KeyboardInterrupt",
    "infrastructure: did not end within 0.5 s": "time.sleep(60)",
    "infrastructure:  did not end within 0.5 s": "signal.signal(15, signal.SIG_IGN); [0 for _ in iter(int, 1)]",
}


@pytest.mark.parametrize("expected", BODIES)
def test_the_outcome_of_a_check_and_of_those_around_it(places, monkeypatch, expected, capfd):
    if "SIG_IGN" in BODIES[expected]:
        monkeypatch.setattr(runner, "END_S", 1)
    checks = f"""
import os, signal, sys, time
from boxlab.errors import EngineError
from boxlab.labs import Mismatch, check

@check()
def before(work):
    'Before.'

@check(timeout={0.5 if "0.5 s" in expected else toy_lab.HANG_S})
def middle(work):
    'Middle.'
    {BODIES[expected]}

@check()
def after(work):
    'After.'
"""
    toy = toy_lab.make(places / "labs", checks)
    found = runner.run(toy, toy.solution, 1)
    before, middle, after = found.results
    outcome, _, words = expected.partition(": ")
    assert (before.outcome, middle.outcome, after.outcome) == ("pass", outcome, "pass")
    assert words.strip() in f"{middle.reason}; {middle.fix}"
    assert "Traceback" not in found.to_text() + capfd.readouterr().err
    assert not list((places / "cache" / "scratch").iterdir())


def test_what_is_after_a_check_that_was_killed_has_its_files(places, monkeypatch):
    monkeypatch.setattr(paths, "SCRATCH", SCRATCH)
    checks = """
import os, signal
from boxlab.labs import check, same

@check()
def killed(work):
    'It is killed.'
    os.kill(os.getpid(), signal.SIGKILL)

@check(points=2)
def after(work):
    'It reads a file of the answer.'
    same("hello", work.text("answer.txt").splitlines()[0], why="w", next="n")
"""
    toy = toy_lab.make(places / "labs", checks)
    found = runner.run(toy, toy.solution, 1)
    assert [result.outcome for result in found.results] == ["infrastructure", "pass"]
    assert not list(SCRATCH.glob("lab-01-toy-*"))


def test_a_check_whose_need_failed_is_skipped_and_says_why(toy, places):
    with_empty = places / "labs" / "01-toy" / "wrong" / "empty"
    found = runner.run(toy, with_empty, 1)
    assert [result.outcome for result in found.results] == ["fail", "skipped", "skipped"]
    assert found.results[0].says in found.results[1].reason
    assert "comes first" not in found.to_text(), "with a single failure it is plain what the others wait for"
    assert found.outcome == "fail" and found.points == 0


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ("this is no Python", "SyntaxError"),
        ("import nowhere_to_be_found", "ModuleNotFoundError"),
        (toy_lab.CHECKS.replace("@check()", "@check(points=5)"), "promises 3 points"),
        ("from boxlab.labs import check\n@check()\ndef mute(work): pass", "says nothing"),
    ],
)
def test_a_broken_checker_is_infrastructure(places, checks, words, capfd):
    toy = toy_lab.make(places / "labs", checks)
    found = runner.run(toy, toy.solution, 1)
    assert found.outcome == "infrastructure"
    assert words in found.to_text(width=200)
    assert "Traceback" not in capfd.readouterr().err


AFTER = {
    "exit status 5": "import atexit, os\natexit.register(os._exit, 5)\n",
    "signal SIGKILL": "import atexit, os\natexit.register(os.kill, os.getpid(), 9)\n",
}


@pytest.mark.parametrize("words", AFTER)
def test_who_does_not_end_well_after_the_last_check_lets_nobody_pass(places, words):
    """It may have been killed by a program that has written all that was said."""
    toy = toy_lab.make(places / "labs", AFTER[words] + toy_lab.CHECKS)
    found = runner.run(toy, toy.solution, 1)
    assert found.outcome == "infrastructure" and found.points == 0
    assert words in found.to_text() and words in found._repr_html_()
    assert runner.run(toy, toy.folder / "wrong" / "empty", 1).outcome == "fail"


@pytest.mark.parametrize("ends", ["sys.exit(0)", "os._exit(0)", "os.kill(os.getpid(), 9)", "time.sleep(60)"])
def test_what_is_to_be_planted_is_there_or_said_not_to_be(places, monkeypatch, ends):
    monkeypatch.setattr(runner, "READY_S", 1)
    monkeypatch.setattr(runner, "END_S", 1)
    toy = toy_lab.make(places / "labs", f"import os, sys, time\ndef plant(folder, random): {ends}\n")
    with pytest.raises(BoxlabError, match="ended by itself|did not end"):
        runner.plant(toy, places, 1)


SPOILERS = {
    "its permissions taken away": "os.chmod('.', 0)",
    "those of a folder in it": "os.makedirs('a/b'); os.chmod('a', 0)",
    "those of all of it": "os.chmod('..', 0)",
    "it removed": "import shutil; shutil.rmtree(os.getcwd())",
    "dug deep": "[(os.mkdir('deep' * 10), os.chdir('deep' * 10)) for _ in range(300)]",
}


@pytest.mark.parametrize("spoiler", SPOILERS.values(), ids=SPOILERS)
def test_a_program_that_spoils_its_folder_costs_no_report_and_leaves_nothing(places, bound, spoiler):
    checks = f"""
import os
from boxlab.labs import Mismatch, check

os.geteuid = lambda: 65534  # root without its rights may make no control group either

@check(points=3)
def spoils(work):
    'It runs twice.'
    work.run(["python", "-c", {f"import os; {spoiler}"!r}])
    work.run(["true"])
"""
    toy_lab.make(places / "labs", checks)
    subprocess.run(toy_lab.command(places, "start", "01"), check=True)
    ran = subprocess.run([*bound, *toy_lab.command(places, "check", "01")], capture_output=True, text=True)
    assert ran.returncode in (0, 1) and "It runs twice." in ran.stdout and ran.stderr == ""
    assert "look at its name" not in ran.stdout
    assert os.listdir(places / "cache" / "scratch") == []


def test_a_check_does_not_import_what_lies_in_the_working_folder(toy, places):
    (places / "json.py").write_text("raise SystemExit('of the learner')\n")
    subprocess.run(toy_lab.command(places, "start", "01"), check=True)
    ran = subprocess.run(
        toy_lab.command(places, "check", "01", before="import sys; sys.path[:1] = []"), capture_output=True, cwd=places
    )
    assert ran.returncode == 1 and ran.stderr == b""


FORGERY = """
import json, os, signal
passed = {"name": "refuses", "says": "x", "of": 3, "outcome": "pass", "points": 3, "seconds": 0}
forged = json.dumps({"result": passed}) + "\\n" + json.dumps({"done": True, "held": ""}) + "\\n"
pid, judge = os.getppid(), 0
while pid > 1:
    command = open(f"/proc/{pid}/cmdline").read()
    try:
        for name in sorted(os.listdir(f"/proc/{pid}/fd"), reverse=True):
            if int(name) > 2 and "pipe" in os.readlink(f"/proc/{pid}/fd/{name}"):
                handle = os.open(f"/proc/{pid}/fd/{name}", os.O_WRONLY | os.O_NONBLOCK)
                os.write(handle, forged.encode())
    except OSError:
        pass
    if judge:
        os.kill(judge, signal.SIGKILL)
        break
    judge = pid if "boxlab.labs.child" in command else 0
    pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
"""


def test_a_program_cannot_write_its_own_verdict(places, bound):
    """Where no container holds it, it has the user id of whoever judges it, and may kill it; it never passes by that."""
    checks = f"""
import os
from boxlab.labs import Mismatch, check

os.geteuid = lambda: 65534  # root without its rights may make no control group either

@check(points=3)
def refuses(work):
    'It never passes.'
    work.run(["python", "-c", {FORGERY!r}])
    raise Mismatch("e", "a", "w", "n")
"""
    toy_lab.make(places / "labs", checks)
    subprocess.run(toy_lab.command(places, "start", "01"), check=True)
    bound = [argument.replace("=-", "=-sys_ptrace,-") for argument in bound]  # nor may root look into others' processes
    ran = subprocess.run([*bound, *toy_lab.command(places, "check", "01")], capture_output=True, text=True)
    assert ran.returncode in (1, 3) and "passed" not in ran.stdout, ran.stdout
    assert not any(
        "forged = json" in " ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])
    )
    assert not list(SCRATCH.glob("program-*"))


def test_no_argument_of_the_process_that_judges_holds_its_job(places):
    """Every program on the machine can read arguments; seeds and descriptors come by its input."""
    checks = """
import sys
from boxlab.labs import check, same

@check(points=3)
def bare(work):
    'Its arguments say nothing.'
    same("[]", str(sys.argv[1:]), why="w", next="n")
"""
    toy = toy_lab.make(places / "labs", checks)
    assert runner.run(toy, toy.solution, 1).outcome == "pass"
