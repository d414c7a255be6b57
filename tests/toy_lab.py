"""A lab without an engine, made in a folder of the test's own, to be spoiled."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from boxlab.labs import lab

TOML = """
title = "Say it"
minutes = 10
points = 3
files = ["answer.txt", "note.txt"]
starter_fails = "says_it"

[wrong]
loud = "says_it"
empty = "not_empty"
written-down = "knows_the_number"
"""

CHECKS = """
from boxlab.labs import Mismatch, check, same

def plant(folder, random):
    (folder / "number.txt").write_text(str(random.randrange(10**9)))

@check()
def not_empty(work):
    '''There is an answer.'''
    if not work.text("answer.txt").strip():
        raise Mismatch("an answer", "nothing", "nothing says nothing", "write one")

@check(needs=[not_empty])
def says_it(work):
    '''It says hello.'''
    same("hello", work.text("answer.txt").splitlines()[0], why="politeness", next="say hello")

@check(needs=[not_empty])
def knows_the_number(work):
    '''The program prints the number.'''
    ran = work.run(["sh", "-c", work.text("answer.txt").splitlines()[1]])
    same((work.folder / "number.txt").read_text(), ran.output.strip(), why="it was asked for", next="read the file")
"""

HINTS = "## One\n\na nudge\n\n## Two\n\na pointer\n\n## Three\n\nnearly the answer\n"

HANGS = """
import time
from boxlab.labs import check

@check(points=3, timeout=1000)
def hangs(work):
    'It hangs.'
    (work.folder.parent.parent.parent / "begun").write_text("")
    work.run(["sleep", "1000"], seconds=1000)
"""
"""A check that says when it has begun, and does not end."""

RIGHT = {
    "by-shell": "read -r number < number.txt; echo $number",
    "by-sed": "sed -n p number.txt",
    "by-head": "head -n 1 number.txt",
    "by-awk": "awk 1 number.txt",
}

SOLUTION = "hello\ncat number.txt\n"


def make(labs: Path, checks: str = CHECKS, toml: str = TOML) -> lab.Lab:
    """The lab 01-toy below `labs`."""
    folder = labs / "01-toy"
    files = {
        "lab.toml": toml,
        "checks.py": checks,
        "hints.md": HINTS,
        "README.md": "# Say it\n",
        "starter/answer.txt": "good day\ncat number.txt\n",
        "solution/answer.txt": SOLUTION,
        **{f"right/{name}/answer.txt": f"hello\n{line}\n" for name, line in RIGHT.items()},
        "wrong/loud/answer.txt": "HELLO\ncat number.txt\n",
        "wrong/empty/answer.txt": "\n",
        "wrong/written-down/answer.txt": "hello\necho 42\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return lab.read(folder)


def command(places: Path, *arguments: str, before: str = "") -> list[str]:
    """The command `boxlab`, as it is from its first moment, with the test's own folders; `before` is run before it."""
    script = f"""
from pathlib import Path
from boxlab import __main__, paths
for name, folder in {{"LABS": "labs", "WORK": "work", "CACHE": "cache", "SCRATCH": "cache/scratch"}}.items():
    setattr(paths, name, Path({str(places)!r}) / folder)
{before}
__main__.main()
"""
    return [sys.executable, "-c", script, *arguments]


def check(places: Path) -> subprocess.Popen:
    """Check the lab in a process of its own, as a learner does."""
    subprocess.run(command(places, "start", "01"), stdout=subprocess.DEVNULL, check=True)
    return subprocess.Popen(
        command(places, "check", "01"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


HANG_S = 120
"""When what does not come is given up: it only ends a test that hangs."""


def wait_until(happens: Callable[[], object]) -> None:
    """Wait until something has come to be.

    Raises:
        TimeoutError: it does not.
    """
    deadline = time.monotonic() + HANG_S
    while not happens():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {HANG_S} s")
        time.sleep(0.01)
