"""Run the checks of a lab over a folder: in a process of their own, with deadlines, and nothing stays behind.

The runner itself imports nothing that takes long, and none of the lab's code.
"""

import contextlib
import errno
import json
import os
import secrets
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from boxlab import paths
from boxlab.errors import BoxlabError
from boxlab.interrupts import deferred
from boxlab.labs.checks import Mismatch, Outcome, Result
from boxlab.labs.lab import Lab
from boxlab.labs.report import Report

FILE_KIB = 1024
"""A file that is handed in may be this large."""

READY_S = 900
"""How long may pass before the first check begins: the base image may have to be made."""

END_S = 20
"""How long the process of the checks may take to clean up, and what it left to be removed."""

RUN = "BOXLAB_RUN"
"""As `engine.MARK`, which the runner does not wait for."""

FILES = "files"
"""Name of the check that comes before those of the lab: the files are there and are files."""


def run(
    lab: Lab,
    source: Path,
    seed: int,
    *,
    without: str = "",
    run: str | None = None,
    watch: Callable[[str], None] = lambda says: None,
) -> Report:
    """Check what lies in `source`.

    Args:
        seed: of what the lab plants.
        without: a check that passes unseen, to prove that its absence is noticed.
        run: id that everything started for the checks carries.
        watch: called with what each check asserts, when it begins.

    Raises:
        LabError: the lab itself is broken beyond a report.
    """
    run = run or secrets.token_hex(6)
    report = Report(lab.id, lab.title, lab.points, datetime.now(UTC).isoformat(timespec="seconds"))
    began = time.monotonic()
    place = paths.scratch() / f"lab-{lab.id}-{run}"
    try:
        if wrong := _stage(lab, source, place / "work"):
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
                "without": without,
            }
            report.results = _Checks(job, run, watch).results()
    finally:
        with deferred():
            if place.exists():
                shutil.rmtree(place)
    report.seconds = time.monotonic() - began
    return report


def plant(lab: Lab, folder: Path, seed: int) -> None:
    """Lay beside the starter's files in `folder` what the lab plants.

    Raises:
        BoxlabError: that failed.
    """
    with _child({"do": "plant", "checks": str(lab.checks), "folder": str(folder), "seed": seed}, _new_run()) as child:
        for message in child.messages(END_S):
            if trouble := message.get("trouble"):
                raise BoxlabError(*trouble)


def _stage(lab: Lab, source: Path, into: Path) -> Result | None:
    """Lay the handed-in files over a copy of the starter; what is wrong with them, if anything is."""
    result = Result(FILES, "The files that you hand in are there and can be read.", 0, Outcome.FAIL)
    try:
        into.parent.mkdir()
        shutil.copytree(lab.starter, into)
        for name in lab.files:
            _take(name, source, into / name, required=(lab.starter / name).exists(), again=f"boxlab reset {lab.number}")
    except Mismatch as wrong:
        result.expected, result.actual, result.why, result.next = wrong.expected, wrong.actual, wrong.why, wrong.next
        return result
    except OSError as error:
        result.outcome = Outcome.INFRASTRUCTURE
        result.reason = f"{error.filename or 'the system'}: {error.strerror}"
        full, forbidden = error.errno in (errno.ENOSPC, errno.EDQUOT), error.errno in (errno.EACCES, errno.EPERM)
        result.fix = "make room on the disk" if full else "give yourself the right to read it" if forbidden else ""
        return result
    return None


def _take(name: str, source: Path, target: Path, required: bool, again: str) -> None:
    """Copy one file, if it is a text of sensible size.

    Raises:
        Mismatch: it is not.
    """

    def refuse(expected: str, actual: str, next: str) -> Mismatch:
        return Mismatch(expected, actual, "the checks read what you hand in, and nothing else", next)

    path = source / name
    inside = path.parent.resolve().is_relative_to(source.resolve())
    try:
        if not inside:
            raise OSError(errno.ELOOP, "it is a link", str(path))
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        if required:
            raise refuse(
                f"a file {name}", f"there is none in {source}", f"write it, or `{again}` for the first one"
            ) from None
        target.unlink(missing_ok=True)
        return
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise refuse(f"{name} is a file", "it is a symbolic link", "put the file itself in its place") from None
        raise
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            kind = "a folder" if stat.S_ISDIR(state.st_mode) else "a pipe or a device"
            raise refuse(f"{name} is a file", f"it is {kind}", f"remove it, and `{again}` for the first one")
        with open(handle, "rb", closefd=False) as file:
            data = file.read((FILE_KIB << 10) + 1)
    finally:
        os.close(handle)
    if len(data) > FILE_KIB << 10:
        actual = f"{max(state.st_size, len(data)) / (1 << 20):.1f} MiB"
        raise refuse(
            f"{name} has at most {FILE_KIB >> 10} MiB", actual, "it is too much: hand in what the task asks for"
        )
    try:
        at = data.index(b"\0") if b"\0" in data else None
        data.decode()
    except UnicodeDecodeError as error:
        at = error.start if at is None else at
    if at is not None:
        actual = f"byte {at} (0x{data[at]:02x}) is no text"
        raise refuse(f"{name} is text in UTF-8", actual, "save it as plain text in UTF-8")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


@dataclass
class _Checks:
    """The run of a lab's checks, by as many processes as it takes: a check that does not end takes its process with it."""

    job: dict
    run: str
    watch: Callable[[str], None]
    _known: list[dict] = field(default_factory=list)
    _done: dict[str, Result] = field(default_factory=dict)
    _begun: str = ""

    def results(self) -> list[Result]:
        trouble: tuple[str, str] | None = None
        while not trouble:
            self._begun = ""
            reason, clean = self._serve()
            if not clean:
                trouble = self._clear()
            if not reason:
                break
            if self._begun and not isinstance(reason, tuple):
                self._done[self._begun] = self._failed(self._begun, reason, "check again; if it stays so, report it")
            else:
                trouble = reason if isinstance(reason, tuple) else (reason, "check again; if it stays so, report it")
        if trouble and not self._known:
            return [
                Result("checks", "The checks can be run.", 0, Outcome.INFRASTRUCTURE, reason=trouble[0], fix=trouble[1])
            ]
        names = [check["name"] for check in self._known]
        return [self._done.get(name) or self._failed(name, *trouble) for name in names]

    def _serve(self) -> tuple[str | tuple[str, str], bool]:
        """Listen to one process: why it did not do all of it, if so, and whether it cleaned up."""
        outcomes = {name: result.outcome for name, result in self._done.items()}
        with _child(self.job | {"outcomes": outcomes}, self.run) as child:
            reason: str | tuple[str, str] = ""
            try:
                for message in child.messages(READY_S):
                    if "trouble" in message:
                        reason = tuple(message["trouble"])
                    elif "checks" in message:
                        self._known = message["checks"]
                    elif "begin" in message:
                        check = next(c for c in self._known if c["name"] == message["begin"])
                        self._begun = check["name"]
                        child.allow(check["timeout"])
                        self.watch(check["says"])
                    else:
                        result = Result(**message["result"] | {"outcome": Outcome(message["result"]["outcome"])})
                        self._done[result.name], self._begun = result, ""
                        child.allow(END_S)
            except TimeoutError:
                reason = f"the check did not end within {child.allowed:g} s"
            finally:
                status = child.stop()
        if not reason and status:
            died = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
            reason = f"the process of the checks ended by itself ({died})"
        if not reason and len(self._done) < len(self._known):
            reason = "the process of the checks ended before its work"
        return reason, status in (0, 130)

    def _clear(self) -> tuple[str, str] | None:
        """Remove what a killed process has left."""
        with _child({"do": "clear", "run": self.run, "needs": self.job["needs"]}, _new_run()) as child:
            try:
                for message in child.messages(END_S):
                    if trouble := message.get("trouble"):
                        return tuple(trouble)
            except TimeoutError:
                return (
                    "what the check has left could not be removed: the engine does not answer",
                    "`boxlab clean`, later",
                )
        return None

    def _failed(self, name: str, reason: str, fix: str) -> Result:
        check = next(c for c in self._known if c["name"] == name)
        return Result(name, check["says"], check["points"], Outcome.INFRASTRUCTURE, reason=reason, fix=fix)


class _Child:
    """The process of child.py, and its messages."""

    def __init__(self, job: dict, run: str):
        read, write = os.pipe()
        self._pipe = read
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "boxlab.labs.child", json.dumps(job | {"fd": write})],
                env=os.environ | {RUN: run, "BOXLAB_TERMINAL": _terminal()},
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

    def allow(self, seconds: float) -> None:
        """Set how long the next message may take."""
        self.allowed = seconds
        self._deadline = time.monotonic() + seconds

    def messages(self, seconds: float) -> Iterator[dict]:
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
            self._process.stdin.close()  # it cleans up and ends, if it has not ended yet
        try:
            return self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            return self._process.wait()

    def close(self) -> None:
        os.close(self._pipe)


@contextlib.contextmanager
def _child(job: dict, run: str) -> Iterator[_Child]:
    with deferred():
        child = _Child(job, run)
    try:
        yield child
    finally:
        with deferred():
            child.stop()
            child.close()


def _new_run() -> str:
    return secrets.token_hex(6)


def _has_fileno(stream) -> bool:
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
    return os.ttyname(sys.stderr.fileno()) if _has_fileno(sys.stderr) and sys.stderr.isatty() else ""
