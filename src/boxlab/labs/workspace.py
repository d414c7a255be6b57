"""The learner's side: copies of the labs in work/, hints, and progress that survives a restart."""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from boxlab import paths
from boxlab.errors import BoxlabError, UsageError
from boxlab.labs import runner
from boxlab.labs.checks import Outcome
from boxlab.labs.lab import Lab
from boxlab.labs.report import Report

VERSION = 1


@dataclass
class Progress:
    """How far a learner has come with one lab; a file below work/, one for each lab.

    Attributes:
        seed: of what the lab plants for this learner.
        hints: how many were read.
        points: the most that a check gave.
        passed: when all checks passed for the first time, in UTC.
        gave_up: whether the solution was asked for before that.
    """

    version: int
    seed: int
    hints: int = 0
    points: int = 0
    passed: str | None = None
    gave_up: bool = False


def folder(lab: Lab) -> Path:
    """The learner's copy."""
    return paths.WORK / lab.id


def progress(lab: Lab) -> Progress:
    """How far the learner has come.

    Raises:
        BoxlabError: the file cannot be read.
    """
    path = _file(lab)
    try:
        data = json.loads(path.read_text())
        if data["version"] != VERSION:
            raise ValueError(f"version {data['version']}")
        return Progress(**data)
    except FileNotFoundError:
        return Progress(VERSION, secrets.randbits(32))
    except (ValueError, TypeError, KeyError) as error:
        raise BoxlabError(f"{path} is not what we wrote ({error})", f"remove it; {folder(lab)} stays") from error


def start(lab: Lab) -> bool:
    """Make the learner's copy, unless there is one; whether it was made.

    Raises:
        BoxlabError: another command works on this lab.
    """
    with _lock(lab):
        target = folder(lab)
        if target.exists():
            return False
        state = progress(lab)
        _save(lab, state)
        new = target.with_name(f".{lab.id}.new")
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(lab.starter, new)
        runner.plant(lab, new, state.seed)
        new.rename(target)
        return True


def reset(lab: Lab) -> Path:
    """Begin anew, with the hints as well, and keep the points; returns where what there was is kept.

    Raises:
        UsageError: it was not started.
        BoxlabError: another command works on this lab.
    """
    with _lock(lab):
        require_started(lab)
        state = progress(lab)
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        backup = folder(lab).with_name(f"{lab.id}.{stamp}-{secrets.token_hex(2)}")
        folder(lab).rename(backup)
        _save(lab, replace(state, hints=0))
    start(lab)
    return backup


def hint(lab: Lab) -> tuple[int, str]:
    """The next hint and its number, from one; the last one again once all were read.

    Raises:
        BoxlabError: another command works on this lab.
    """
    with _lock(lab):
        state, hints = progress(lab), lab.hints()
        state.hints = min(state.hints + 1, len(hints))
        _save(lab, state)
        return state.hints, hints[state.hints - 1]


def solution(lab: Lab, give_up: bool) -> dict[str, str]:
    """The files of the solution.

    Raises:
        UsageError: the learner has neither passed nor given up.
    """
    with _lock(lab):
        state = progress(lab)
        if not state.passed and not give_up:
            raise UsageError(
                f"the solution of {lab.id} is shown once your own passes",
                f"`boxlab hint {lab.number}`, or `boxlab solution {lab.number} --give-up`",
            )
        if not state.passed:
            state.gave_up = True
            _save(lab, state)
    return {name: (lab.solution / name).read_text() for name in lab.files if (lab.solution / name).exists()}


def check(lab: Lab, watch: Callable[[str], None] = lambda says: None) -> Report:
    """Check the learner's copy and remember how far it came.

    Raises:
        UsageError: it was not started.
        BoxlabError: another command works on this lab.
    """
    with _lock(lab):
        require_started(lab)
        state = progress(lab)
        report = runner.run(lab, folder(lab), state.seed, watch=watch)
        if report.outcome != Outcome.INFRASTRUCTURE:
            state.points = max(state.points, report.points)
            if report.outcome == Outcome.PASS:
                state.passed = state.passed or report.created
        _save(lab, state)
        return report


def changes(lab: Lab) -> list[tuple]:
    """What differs once a file that is handed in was changed: file events do not cross WSL's mounts."""

    def state(path: Path) -> tuple:
        try:
            found = path.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino

    return [state(folder(lab) / name) for name in lab.files]


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Let one command at a time work on a lab; the lock is gone with the process that holds it.

    Raises:
        BoxlabError: another command holds it.
    """
    place = paths.CACHE / "locks"
    place.mkdir(parents=True, exist_ok=True)
    with (place / name).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise BoxlabError(
                f"another command works on {name} (process {file.read().strip() or 'unknown'})",
                "wait until it has ended",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _lock(lab: Lab) -> contextlib.AbstractContextManager[None]:
    return lock(lab.id)


def require_started(lab: Lab) -> None:
    """See that the learner has a copy.

    Raises:
        UsageError: it was not started.
    """
    if not folder(lab).is_dir():
        raise UsageError(f"{lab.id} was not started", f"`boxlab start {lab.number}`")


def _file(lab: Lab) -> Path:
    return paths.WORK / ".progress" / f"{lab.id}.json"


def _save(lab: Lab, state: Progress) -> None:
    """Write it so that it is never half there."""
    path = _file(lab)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(asdict(state)) + "\n")
    new.replace(path)
