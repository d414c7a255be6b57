"""Which of the four outcomes a check has, and how a report says it."""

import json

import pytest
import toy_lab

from boxlab.labs import report, runner


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
    "infrastructure: did not end within 0.5 s": "time.sleep(60)",
    "infrastructure:  did not end within 0.5 s": "signal.signal(15, signal.SIG_IGN); [0 for _ in iter(int, 1)]",
}


@pytest.mark.parametrize("expected", BODIES)
def test_the_outcome_of_a_check_and_of_those_around_it(places, monkeypatch, expected, capfd):
    monkeypatch.setattr(runner, "END_S", 2)
    checks = f"""
import os, signal, sys, time
from boxlab.errors import EngineError
from boxlab.labs import Mismatch, check

@check()
def before(work):
    'Before.'

@check(timeout=0.5)
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
