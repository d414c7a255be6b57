"""Run the checks of a lab over a folder: in a process of their own, with deadlines, and nothing stays behind.

The runner itself imports nothing that takes long, and none of the lab's code.
"""

import contextlib
import ctypes
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from boxlab import disk, marks, paths
from boxlab.errors import BoxlabError
from boxlab.interrupts import deferred, signal_group
from boxlab.labs import files
from boxlab.labs.checks import Outcome, Result
from boxlab.labs.lab import Lab
from boxlab.labs.report import Report
from boxlab.language import _

READY_S = 900
"""How long may pass before the first check begins: the base image may have to be made."""

END_S = 20
"""How long the process of the checks may take to clean up."""

CLEAR_S = 60
"""How long what a killed process of checks has left may take to be removed."""

INTERRUPTED = 130
"""Exit status of a process of checks that was told to end, and has cleaned up."""

AGAIN = _("check again; if it stays so, report it")
SILENT = _("it did not end in time")


def run(
    lab: Lab,
    source: Path,
    seed: int,
    *,
    draws: int | None = None,
    without: str = "",
    only: str = "",
    run: str | None = None,
    watch: Callable[[str], None] = lambda says: None,
) -> Report:
    """Check what lies in `source`.

    Args:
        seed: of what the lab plants.
        draws: seed of what the checks draw; by default, a new one.
        without: a check that passes unseen, to prove that its absence is noticed.
        only: the one check that is done, with all that it needs; the others pass unseen.
        run: id that everything started for the checks carries.
        watch: called with what each check asserts, when it begins.

    Raises:
        LabError: the lab itself is broken beyond a report.
    """
    run = run or secrets.token_hex(6)
    draws = secrets.randbits(32) if draws is None else draws
    report = Report(lab.id, lab.title, lab.points, datetime.now(UTC).isoformat(timespec="seconds"), seed=draws)
    began = time.monotonic()
    place = paths.scratch() / f"lab-{lab.id}-{run}"
    try:
        if wrong := files.stage(lab, source, place / "work"):
            report.results = [wrong]
        else:
            job = {
                "do": "checks",
                "id": lab.id,
                "checks": str(lab.checks),
                "points": lab.points,
                "starter": str(lab.starter),
                "folder": str(place / "work"),
                "needs": lab.needs,
                "seed": seed,
                "draws": draws,
                "without": without,
                "only": only,
            }
            checks = _Checks(job, run, watch)
            report.results = checks.results()
            report.held = checks.held
            report.further = files.beside(source, place / "work", lab)
    finally:
        with deferred(), report.noting(_("what the checks have left stays")):
            disk.remove(place)
    report.seconds = time.monotonic() - began
    return report


def plant(lab: Lab, folder: Path, seed: int) -> None:
    """Lay beside the starter's files in `folder` what the lab plants.

    Raises:
        BoxlabError: that failed.
    """
    job = {"do": "plant", "checks": str(lab.checks), "folder": str(folder), "seed": seed}
    if trouble := _do(job, READY_S):
        raise BoxlabError(trouble.reason, trouble.fix)


def remove_left(lab: Lab) -> None:
    """Remove what checks of a lab have left that were killed: for whoever holds its lock, so that none of them goes on.

    What they had on the engine goes first: of the folder's name alone we know of it.

    Raises:
        OSError, BoxlabError: something does not go.
    """
    for path in paths.scratch().glob(f"lab-{lab.id}-{'[0-9a-f]' * 12}"):
        if trouble := _swept(path.name.rpartition("-")[2], lab.needs, path):
            raise BoxlabError(trouble.reason, trouble.fix)
        disk.remove(path)


def _swept(run: str, needs: Sequence[str], place: Path) -> "Trouble | None":
    """Remove what a run has left that was killed, but for its folder; what kept us from that, if so."""
    trouble = _do({"do": "clear", "run": run, "needs": needs, "keep": str(place)}, CLEAR_S)
    if trouble and trouble.reason == SILENT:
        what = _("what the check has left could not be removed: the engine does not answer")
        return Trouble(what, _("`boxlab clean`, later"))
    return trouble


@dataclass
class _Checks:
    """The run of a lab's checks, by as many processes as it takes: a check that does not end takes its process with it."""

    job: dict[str, Any]
    run: str
    watch: Callable[[str], None]
    _known: list[dict[str, Any]] = field(default_factory=list)
    _done: dict[str, Result] = field(default_factory=dict)
    _begun: str = ""
    _ended: bool = False
    _left: "Trouble | None" = None
    held: str = ""

    def results(self) -> list[Result]:
        """What became of each check."""
        rest: Trouble | None = None  # what kept us from all those that are not done
        while not rest and (trouble := self._serve()):
            if self._begun and not trouble.of_all:
                self._done[self._begun] = self._kept_from(self._begun, trouble)
                rest = self._left
            else:
                rest = trouble
        if rest and not self._known:
            says = _("The checks can be run.")
            return [Result("checks", says, 0, Outcome.INFRASTRUCTURE, reason=rest.reason, fix=rest.fix)]
        names = [check["name"] for check in self._known]
        kept = {name: self._kept_from(name, rest) for name in names} if rest else {}
        found = {name: self._done.get(name) or kept[name] for name in names}
        if rest and self._done.keys() >= set(names):  # who says so may be a program that has killed the process
            found |= {name: kept[name] for name in names if found[name].outcome == Outcome.PASS}
        return [found[name] for name in names]

    def _serve(self) -> "Trouble | None":
        """Listen to one process until it ends: why it did not do all that was left to do, if so."""
        self._begun, self._ended, trouble = "", False, None
        outcomes = {name: result.outcome for name, result in self._done.items()}
        with _child(self.job | {"outcomes": outcomes}, self.run) as child:
            try:
                for message in child.messages(READY_S):
                    if "trouble" in message:
                        reason, fix = message["trouble"]
                        trouble = Trouble(reason, fix, of_all=True)
                    else:
                        self._take(message, child)
            except TimeoutError:
                trouble = Trouble(_("the check did not end within {seconds:g} s", seconds=child.allowed), AGAIN)
            finally:
                status = child.stop()
                if status not in (0, INTERRUPTED):  # those that follow need the folder
                    self._left = _swept(self.run, self.job["needs"], Path(self.job["folder"]).parent)
        if not trouble and (status or not self._ended):
            trouble = Trouble(_("the process of the checks ended by itself ({how})", how=_how(status)), AGAIN)
        if self._left:
            reason = f"{trouble.reason}; {self._left.reason}" if trouble else self._left.reason
            trouble = Trouble(reason, self._left.fix)
        return trouble

    def _take(self, message: dict[str, Any], child: "_Child") -> None:
        """Note what the process says: the checks that there are, one that begins, one that has ended."""
        if "checks" in message:
            self._known = message["checks"]
        elif "begin" in message:
            self._begun = message["begin"]
            check = self._check(self._begun)
            child.allow(check["timeout"])
            self.watch(check["says"])
        elif "done" in message:
            self._ended, self.held = True, message["held"]
        else:
            result = Result(**message["result"])
            result.outcome = Outcome(result.outcome)
            self._done[result.name], self._begun = result, ""
            child.allow(END_S)

    def _check(self, name: str) -> dict[str, Any]:
        return next(check for check in self._known if check["name"] == name)

    def _kept_from(self, name: str, trouble: "Trouble") -> Result:
        check = self._check(name)
        outcome = Outcome.INFRASTRUCTURE
        return Result(name, check["says"], check["points"], outcome, reason=trouble.reason, fix=trouble.fix)


@dataclass(frozen=True)
class Trouble:
    """What is wrong with the machine, or with us.

    Attributes:
        of_all: whether it keeps every check from running, and not only the one that had begun.
    """

    reason: str
    fix: str
    of_all: bool = False


class _Child:
    """The process of child.py, and its messages."""

    def __init__(self, job: dict[str, Any], run: str):
        read, write = os.pipe()
        self._pipe = read
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "boxlab.labs.child"],
                env=os.environ | marks.environment(run) | {"BOXLAB_TERMINAL": _terminal(), "PYTHONUTF8": "1"},
                stdin=subprocess.PIPE,
                stdout=sys.stderr.fileno() if _has_fileno(sys.stderr) else subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[write],
            )
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        assert self._process.stdin  # a pipe
        self._input = self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has ended already, which shows
            self._input.write(json.dumps(job | {"fd": write}).encode() + b"\n")
            self._input.flush()

    def allow(self, seconds: float) -> None:
        """Set how long the next message may take."""
        self.allowed = seconds
        self._deadline = time.monotonic() + seconds

    def messages(self, seconds: float) -> Iterator[dict[str, Any]]:
        """What it says, until it has no more to say.

        Raises:
            TimeoutError: it was silent for longer than it was allowed.
        """
        self.allow(seconds)
        buffer = b""
        while True:
            if not select.select([self._pipe], [], [], max(0.0, self._deadline - time.monotonic()))[0]:
                raise TimeoutError
            chunk = os.read(self._pipe, 1 << 16)
            if not chunk:
                return
            *lines, buffer = (buffer + chunk).split(b"\n")
            yield from map(json.loads, lines)

    def stop(self) -> int:
        """End it, first politely; returns its exit status."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()  # it cleans up and ends, if it has not ended yet
        try:
            return self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            signal_group(self._process.pid, signal.SIGKILL)
            return self._process.wait()

    def close(self) -> None:
        os.close(self._pipe)


@contextlib.contextmanager
def _child(job: dict[str, Any], run: str) -> Iterator[_Child]:
    with _hidden():
        with deferred():
            child = _Child(job, run)
        try:
            yield child
        finally:
            with deferred():
                child.stop()
                child.close()


@contextlib.contextmanager
def _hidden() -> Iterator[None]:
    """Keep the pipe from other processes of this user, as the child keeps its end; a notebook is not hidden afterwards."""
    if sys.platform != "linux":
        yield
        return
    prctl = ctypes.CDLL(None).prctl
    before = prctl(3)  # PR_GET_DUMPABLE, linux/prctl.h
    prctl(4, 0)  # PR_SET_DUMPABLE
    try:
        yield
    finally:
        prctl(4, before)


def _do(job: dict[str, Any], seconds: float) -> Trouble | None:
    """Have a process of its own do something else than checks; what kept it from that, if so."""
    with _child(job, secrets.token_hex(6)) as child:
        try:
            for message in child.messages(seconds):
                return Trouble(*message["trouble"]) if "trouble" in message else None
        except TimeoutError:
            return Trouble(SILENT, AGAIN)
        return Trouble(_("a process of ours ended by itself ({how})", how=_how(child.stop())), AGAIN)


def _how(status: int) -> str:
    """How a process ended."""
    if status < 0:
        return _("signal {name}", name=signal.Signals(-status).name)
    return _("exit status {status}", status=status)


def _has_fileno(stream: TextIO) -> bool:
    """Whether a stream is a file of the system; a notebook's is not."""
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True


def _terminal() -> str:
    """The terminal that progress is drawn on; none where there is none."""
    inherited = os.environ.get("BOXLAB_TERMINAL")
    if inherited is not None:
        return inherited
    with contextlib.suppress(OSError):  # one of another's /dev/pts, as in some containers, has no name here
        return os.ttyname(sys.stderr.fileno()) if _has_fileno(sys.stderr) and sys.stderr.isatty() else ""
    return ""
