"""A test that others disturbed is run once more, alone; what fails alone fails."""

import subprocess
import sys
from pathlib import Path

import pytest
import run

TESTS = Path(run.__file__).parent

ONCE = """
from pathlib import Path
def test_disturbed():
    assert Path("seen").exists() or Path("seen").touch()
def test_steady():
    assert True
"""
NEVER = "def test_broken():\n    assert False\n"
TWICE = """
from pathlib import Path
import pytest
@pytest.fixture
def place():
    yield
    assert Path("cleaned").exists() or Path("cleaned").touch()
def test_disturbed(place):
    assert Path("seen").exists() or Path("seen").touch()
"""
MANY = "import pytest\n@pytest.mark.parametrize('number', range(11))\ndef test_broken(number):\n    assert False\n"


def ran(place, source):
    (place / "test_made.py").write_text(source)
    (place / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, TESTS / "run.py", "--numprocesses=2", "-pno:nbval", "test_made.py"]
    return subprocess.run(command, cwd=place, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("source", "status", "words"),
    [
        (ONCE, 0, ["again: 1 failed beside others", "test_made.py::test_disturbed", "= 1 passed"]),
        (ONCE + NEVER, 1, ["again: 2 failed beside others", "= 1 failed, 1 passed"]),
        (TWICE, 0, ["= 1 failed, 1 error", "again: 2 failed beside others", "= 1 passed"]),
        (MANY, 1, ["= 11 failed"]),
        ("def test_steady():\n    assert True\n", 0, ["= 1 passed"]),
    ],
)
def test_what_fails_beside_others_counts_as_it_ends_alone(tmp_path, source, status, words):
    done = ran(tmp_path, source)
    assert done.returncode == status, done.stdout + done.stderr
    at = 0
    for word in words:
        at = done.stdout.index(word, at)
    assert ("again:" in done.stdout) == any("again:" in word for word in words)


def test_what_fails_is_told_before_the_run_ends(tmp_path):
    told, _end, _account = ran(tmp_path, NEVER).stdout.partition("= FAILURES =")
    assert "test_made.py::test_broken: E       assert False" in told


def test_a_cell_runs_again_with_those_above_it():
    assert run.again(["notebooks/a.ipynb::Cell 3", "tests/x.py::test_y[1]", "notebooks/a.ipynb::Cell 4"]) == [
        "notebooks/a.ipynb",
        "tests/x.py::test_y[1]",
    ]
