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
from typing import Any, get_type_hints

from boxlab import disk, paths
from boxlab.errors import BoxlabError, UsageError
from boxlab.labs import files, runner
from boxlab.labs.checks import Outcome
from boxlab.labs.lab import Lab
from boxlab.labs.report import Report
from boxlab.language import _

VERSION = 1


class Busy(BoxlabError):
    """Another command works on a lab."""


_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Version -> what makes of a file's content that of the next version."""


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
        data = json.loads(path.read_text(encoding="utf-8"))
        while (version := data["version"]) in _UPGRADES:
            data = _UPGRADES[version](data)
        if version > VERSION:
            raise BoxlabError(
                _("{path} was written by a newer boxlab", path=path), _("update this one, or use that one")
            )
        state = Progress(**data)
        kinds = get_type_hints(Progress)
        if version != VERSION or not all(isinstance(getattr(state, name), kinds[name]) for name in kinds):
            raise ValueError("other values")
        return state
    except FileNotFoundError:
        return Progress(VERSION, secrets.randbits(32))
    except (ValueError, TypeError, KeyError) as error:
        raise BoxlabError(
            _("{path} is not what we wrote ({error})", path=path, error=error),
            _("remove it; {folder} stays", folder=folder(lab)),
        ) from error


def start(lab: Lab) -> bool:
    """Make the learner's copy, unless there is one; whether it was made.

    Raises:
        Busy: another command works on this lab.
    """
    with _lock(lab):
        if folder(lab).exists():
            return False
        state = progress(lab)
        with _fresh(lab, state) as new:
            _save(lab, state)
            new.rename(folder(lab))
        return True


def lay_missing(lab: Lab) -> list[str]:
    """Lay into the learner's copy what is missing of the starter, which may have got more since; returns the names of that.

    Raises:
        Busy: another command works on this lab.
    """
    with _lock(lab):
        return _lay_missing(lab)


def _lay_missing(lab: Lab) -> list[str]:
    place, laid = folder(lab), []
    for path in sorted(lab.starter.rglob("*")):
        target = place / path.relative_to(lab.starter)
        inside = target.parent.resolve().is_relative_to(place.resolve())
        if path.is_dir() or os.path.lexists(target) or not inside or target.parent.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
        laid.append(str(path.relative_to(lab.starter)))
    return laid


def reset(lab: Lab) -> Path:
    """Begin anew, with the hints as well, and keep the points; returns where what there was is kept.

    Nothing is moved before the new copy is complete: whatever fails, the old one or the new one is there.

    Raises:
        UsageError: it was not started.
        Busy: another command works on this lab.
    """
    with _lock(lab):
        require_started(lab)
        before = progress(lab)
        state = replace(before, hints=0)
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        backup = folder(lab).with_name(f"{lab.id}.{stamp}-{secrets.token_hex(2)}")
        with _fresh(lab, state) as new:
            _save(lab, state)
            try:
                folder(lab).rename(backup)
            except OSError:
                _save(lab, before)
                raise
            new.rename(folder(lab))
        return backup


@contextlib.contextmanager
def _fresh(lab: Lab, state: Progress) -> Iterator[Path]:
    """A complete new copy, to be put in its place."""
    new = _new(lab)
    try:
        new.parent.mkdir(parents=True, exist_ok=True)
        disk.copy(lab.starter, new)
        runner.plant(lab, new, state.seed)
        yield new.rename(_complete(lab))
    finally:
        _settle(lab)


def _settle(lab: Lab) -> None:
    """End what a start or a reset that failed or was killed has begun: a new copy that is complete takes an empty place."""
    disk.remove(_new(lab))
    if _complete(lab).exists() and not folder(lab).exists():
        _complete(lab).rename(folder(lab))
    disk.remove(_complete(lab))


def _new(lab: Lab) -> Path:
    return paths.WORK / f".{lab.id}.new"


def _complete(lab: Lab) -> Path:
    return paths.WORK / f".{lab.id}.complete"


def hint(lab: Lab) -> tuple[int, str]:
    """The next hint and its number, from one; the last one again once all were read.

    Raises:
        Busy: another command works on this lab.
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
                _("the solution of {lab} is shown once your own passes", lab=lab.id),
                _("`boxlab hint {name}`, or `boxlab solution {name} --give-up`", name=lab.name),
            )
        if not state.passed:
            state.gave_up = True
            _save(lab, state)
    return {
        name: (lab.solution / name).read_text(encoding="utf-8") for name in lab.files if (lab.solution / name).exists()
    }


def check(lab: Lab, watch: Callable[[str], None] = lambda says: None, draws: int | None = None) -> Report:
    """Check the learner's copy and remember how far it came.

    Args:
        draws: seed of what the checks draw; by default, a new one.

    Raises:
        UsageError: it was not started.
        Busy: another command works on this lab.
    """
    with _lock(lab):
        require_started(lab)
        state, laid = progress(lab), _lay_missing(lab)
        report = runner.run(lab, folder(lab), state.seed, draws=draws, watch=watch)
        report.laid = laid
        if report.outcome != Outcome.INFRASTRUCTURE:
            state.points = max(state.points, report.points)
            if report.outcome == Outcome.PASS:
                state.passed = state.passed or report.created
        with report.noting(_("how far you came is not kept")):
            _save(lab, state)
        with report.noting(_("what a check that was killed has left stays")):
            runner.remove_left(lab)
        return report


def contents(lab: Lab) -> dict[str, str] | None:
    """What each file holds that is handed in, as a digest, for times and sizes lie; None while there is no copy."""
    if not folder(lab).is_dir():
        return None
    return {name: files.digest(folder(lab) / name) for name in lab.files}


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Let one command at a time work on a lab, where the file system has locks; it is gone with the process that holds it.

    Raises:
        Busy: another command holds it.
    """
    place = paths.CACHE / "locks"
    place.mkdir(parents=True, exist_ok=True)
    with (place / name).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            process = file.read().strip() or _("unknown")
            raise Busy(
                _("another command works on {name} (process {process})", name=name, process=process),
                _("wait until it has ended"),
            ) from None
        except OSError:  # no locks in this file system
            pass
        with disk.named(place / name):
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        yield


@contextlib.contextmanager
def _lock(lab: Lab) -> Iterator[None]:
    with lock(lab.id):
        _settle(lab)
        yield


def require_started(lab: Lab) -> None:
    """See that the learner has a copy.

    Raises:
        UsageError: it was not started.
    """
    if not folder(lab).is_dir() and not _complete(lab).is_dir():
        raise UsageError(_("{lab} was not started", lab=lab.id), f"`boxlab start {lab.name}`")


def _file(lab: Lab) -> Path:
    return paths.WORK / ".progress" / f"{lab.id}.json"


def _save(lab: Lab, state: Progress) -> None:
    """Write it so that it is never half there."""
    disk.write(_file(lab), json.dumps(asdict(state)) + "\n")
