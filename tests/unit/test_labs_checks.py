"""What a check says of a difference, the outcome of several, and what lab.toml may hold."""

import subprocess
import sys

import pytest
import toy_lab

from boxlab import paths
from boxlab.errors import UsageError
from boxlab.labs import Mismatch, Work, lab, same
from boxlab.labs.checks import CONTEXT, Outcome, Result, load, visible
from boxlab.labs.report import Report
from boxlab.labs.sandbox import Ran
from boxlab.labs.work import Planter


def difference(expected, actual):
    with pytest.raises(Mismatch) as caught:
        same(expected, actual, why="w", next="n")
    return caught.value


@pytest.mark.parametrize(
    ("expected", "actual", "where"),
    [
        ("a\nbc", "a\nbd", "line 2, column 2: expected 'c', got 'd'"),
        ("abc", "ab", "line 1, column 3: expected 'c', got the end of the line"),
        ("a\nb", "a", "line 2, column 1: expected 'b', got the end of the text"),
        ("a", "a\n", "line 2, column 1: expected the end of the text, got the end of the line"),
        ("a", "a\r", "line 1, column 2: expected the end of the line, got '\\r'"),
        ("a", "a ", "line 1, column 2: expected the end of the line, got ' '"),
    ],
)
def test_the_first_difference_is_named(expected, actual, where):
    assert difference(expected, actual).where == where


@pytest.mark.parametrize("before", [0, 1, CONTEXT, 5000])
@pytest.mark.parametrize("after", [0, 5000])
def test_the_first_difference_is_shown_and_pointed_at_wherever_it_is(before, after):
    found = difference("x" * before + "A" + "y" * after, "x" * before + "B" + "y" * after)
    assert found.expected[found.caret] == "A" and found.actual[found.caret] == "B"
    assert found.expected[: found.caret] == found.actual[: found.caret]
    assert len(found.expected) < 3 * CONTEXT


def test_equal_texts_are_no_mismatch():
    same("a\nb", "a\nb", why="w", next="n")


def test_what_would_move_the_cursor_is_shown_as_an_escape():
    assert visible("a\x1b[2Jb\x00\r\tü한") == "a\\x1b[2Jb\\x00\\r\\tü한"
    assert "\x1b" not in Mismatch("x", "\x1b[2J", "w", "n").actual


def test_a_long_text_keeps_its_beginning_and_end():
    actual = Mismatch("x", "first" + "." * 10**6 + "last", "w", "n").actual
    assert actual.startswith("first") and actual.endswith("last") and len(actual) < 3000


def results(*outcomes):
    return [
        Result(f"c{i}", "It holds.", 1, outcome, int(outcome == Outcome.PASS)) for i, outcome in enumerate(outcomes)
    ]


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        ("pass pass", "pass"),
        ("pass fail", "fail"),
        ("fail skipped", "fail"),
        ("fail infrastructure", "infrastructure"),
        ("pass infrastructure skipped", "infrastructure"),
        ("", "infrastructure"),
    ],
)
def test_the_outcome_of_the_whole(outcomes, whole):
    assert Report("l", "t", 2, "now", results=results(*map(Outcome, outcomes.split()))).outcome == whole


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("minutes = 10", "", "minutes is missing"),
        ("minutes = 10", 'minutes = "10"', "minutes is a str"),
        ("minutes = 10", "minutes = 10\nhours = 1", "hours is unknown"),
        ('files = ["answer.txt"', 'files = "answer.txt" # ["', "files is no list of texts"),
        ('"answer.txt"', '"../answer.txt"', "lies outside"),
        ("minutes = 10", 'minutes = 10\nneeds = ["luck"]', "needs: luck"),
        ("title", "title title", "lab.toml"),
    ],
)
def test_a_lab_toml_that_is_wrong_is_named(tmp_path, old, new, words):
    with pytest.raises(lab.LabError, match=words):
        toy_lab.make(tmp_path, toml=toy_lab.TOML.replace(old, new))


def test_every_lab_is_found_by_its_name_and_is_a_page_of_the_book():
    assert lab.every()
    for each in lab.every():
        assert lab.find(each.name) == each
        assert f"file: labs/{each.id}/README\n" in (paths.ROOT / "_toc.yml").read_text()


def test_a_number_that_two_labs_have_is_answered_by_the_choice_of_both(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "LABS", tmp_path)
    one, other = (lab.read(toy_lab.make(tmp_path).folder.rename(tmp_path / name)) for name in ("11-order", "11-secret"))
    with pytest.raises(UsageError, match="several labs 11") as refused:
        lab.find("11")
    assert "11-order, 11-secret" in refused.value.fix
    assert [lab.find(name) for name in ("order", "11-secret")] == [one, other]
    assert (one.name, other.name) == ("11-order", "11-secret")
    other.folder.rename(tmp_path / "12-secret")
    assert lab.find("11") == one and one.name == "11"


def test_a_labs_checks_are_read_as_they_are_now_and_nothing_is_left_beside_them(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "checks.py"
    for name in ("one", "two"):  # within a second, and as long as before
        file.write_text(f'from boxlab.labs import check\n\n@check(points=1)\ndef {name}(work):\n    """It holds."""\n')
        assert [each.name for each in load(file)[0]] == [name]
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize("text", ["x = ", "x = " + 3000 * "[", "x = " + 5000 * "9", 'x = "\\ud800"'])
def test_what_is_no_toml_is_told(tmp_path, text):
    (tmp_path / "start.toml").write_text(text)
    with pytest.raises(Mismatch) as caught:
        Work("99-toy", tmp_path, tmp_path, Planter(None, 0)).toml("start.toml")
    assert caught.value.expected == "start.toml is TOML" and caught.value.actual


def test_toml_may_begin_with_a_mark(tmp_path):
    (tmp_path / "start.toml").write_text("x = 1\n", encoding="utf-8-sig")
    assert Work("99-toy", tmp_path, tmp_path, Planter(None, 0)).toml("start.toml") == {"x": 1}


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Calls `answer` of a program without a sandbox."""

    def run(work, argv, input, **words):
        ended = subprocess.run([sys.executable, *argv[1:]], input=input.encode(), stdout=-1, stderr=-2, cwd=work.folder)
        return Ran(ended.returncode, ended.stdout.decode(), 0, str(work.folder))

    def call(program):
        (tmp_path / "mine.py").write_text(program)
        return Work("toy", tmp_path, tmp_path, Planter(None, 0)).call("mine", ("answer",))

    monkeypatch.setattr(Work, "run", run)
    return call


@pytest.mark.parametrize(
    "program",
    [
        "import atexit; atexit.register(print, 'done')",
        "class Kept:\n def __del__(self): 1 / 0\nkept = Kept()",
        "import atexit, os; atexit.register(os.write, 1, b'{}')",
    ],
)
def test_what_a_program_prints_after_its_answer_is_no_part_of_it(call, program):
    assert call(f"{program}\nanswer = lambda: [1, None]") == [[1, None]]


def test_an_answer_amid_which_something_else_was_printed_is_told(call):
    late = "import json\njson.dumps = lambda *_, **__: '[1, logged'\nanswer = lambda: 1"
    with pytest.raises(Mismatch, match="status 0"):
        call(late)


def test_what_json_does_not_have_is_named(call):
    with pytest.raises(Mismatch, match="TypeError: Object of type set is not JSON serializable"):
        call("answer = lambda: {1}")


def test_numbers_of_numpy_are_numbers(call):
    assert call("import numpy\nanswer = lambda: numpy.int64(3)") == [3]
