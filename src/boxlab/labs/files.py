"""What a learner hands in: only the files that lab.toml names, and only texts of sensible size, never links."""

import codecs
import errno
import hashlib
import os
import stat
from pathlib import Path

from boxlab import disk, errors
from boxlab.labs.checks import Mismatch, Outcome, Result
from boxlab.labs.lab import Lab

FILE_KIB = 1024
"""A file that is handed in may be this large."""

MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""How a text begins in encodings that are not ours."""

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
        disk.copy(lab.starter, into)
        for name in lab.files:
            _take(name, source, into / name, required=(lab.starter / name).exists(), again=f"boxlab reset {lab.number}")
    except Mismatch as wrong:
        result.expected, result.actual, result.why, result.next = wrong.expected, wrong.actual, wrong.why, wrong.next
        return result
    except OSError as error:
        result.outcome = Outcome.INFRASTRUCTURE
        known = errors.of_system(error)
        result.reason, result.fix = known.args[0], known.fix
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
    try:
        if not path.parent.resolve().is_relative_to(source.resolve()):
            raise OSError(errno.ELOOP, "it is a link", str(path))
        state, data = _read(path)
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
    if not stat.S_ISREG(state.st_mode):
        kind = "a folder" if stat.S_ISDIR(state.st_mode) else "a pipe or a device"
        raise refuse(f"{name} is a file", f"it is {kind}", f"remove it, and `{again}` for the first one")
    if len(data) > FILE_KIB << 10:
        actual = f"{max(state.st_size, len(data)) / (1 << 20):.1f} MiB"
        raise refuse(
            f"{name} has at most {FILE_KIB >> 10} MiB", actual, "it is too much: hand in what the task asks for"
        )
    if wrong := _no_text(data):
        raise refuse(f"{name} is text in UTF-8", wrong, "save it as plain text in UTF-8")
    target.parent.mkdir(parents=True, exist_ok=True)
    with disk.named(target):
        target.write_bytes(data)


def _read(path: Path) -> tuple[os.stat_result, bytes]:
    """What a file is, and its beginning, which is longer than may be handed in only where all of it is.

    Never waits for a pipe, nor follows a link.

    Raises:
        OSError: it cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            return state, b""
        with open(handle, "rb", closefd=False) as file, disk.named(path):
            return state, file.read((FILE_KIB << 10) + 1)
    finally:
        os.close(handle)


def _no_text(data: bytes) -> str:
    """Why bytes are no text in UTF-8, if so: another encoding that an editor saves in, by its name."""
    for mark, name in MARKS.items():
        if data.startswith(mark):
            return f"it is text in {name}"
    for name, zeros in (("UTF-16", data[1::2]), ("UTF-16", data[::2])):
        if data and len(data) % 2 == 0 and zeros.count(0) > len(zeros) / 2:
            return f"it is text in {name}"
    at = data.find(b"\0")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        at = error.start if at < 0 else at
    return f"byte {at} (0x{data[at]:02x}) is no text" if at >= 0 else ""


def digest(path: Path) -> str:
    """What changes when a file does, whatever its time and size say."""
    try:
        state, data = _read(path)
    except OSError as error:
        return f"error {error.errno}"
    return f"{stat.S_IFMT(state.st_mode)} {state.st_size} {hashlib.sha256(data).hexdigest()}"
