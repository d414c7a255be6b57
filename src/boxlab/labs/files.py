"""What a learner hands in: only the files that lab.toml names, and only texts of sensible size, never links."""

import errno
import os
import shutil
import stat
from pathlib import Path

from boxlab.labs.checks import Mismatch, Outcome, Result
from boxlab.labs.lab import Lab

FILE_KIB = 1024
"""A file that is handed in may be this large."""

NAME = "files"
"""Name of the check that comes before those of the lab."""


def stage(lab: Lab, source: Path, into: Path) -> Result | None:
    """Lay the handed-in files of `source` over a copy of the starter.

    Returns:
        The result of a check before the others, if they cannot be taken.
    """
    result = Result(NAME, "The files that you hand in are there and can be read.", 0, Outcome.FAIL)
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
