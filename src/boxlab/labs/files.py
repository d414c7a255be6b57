"""What a learner hands in: only the files that lab.toml names, and only texts of sensible size, never links."""

import codecs
import errno
import hashlib
import os
import stat
from pathlib import Path

from boxlab import disk, errors
from boxlab.labs.checks import Mismatch, Outcome, Result, visible
from boxlab.labs.lab import Lab
from boxlab.language import _

FILE_KIB = 1024
"""A file that is handed in may be this large."""

MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""How a text begins in encodings that are not ours."""

LEFT = ("__pycache__", ".DS_Store", ".swp", "~", ":Zone.Identifier")
"""How names end of what nobody has written."""

NAME = "files"
"""Name of the check that comes before those of the lab."""


def stage(lab: Lab, source: Path, into: Path) -> Result | None:
    """Lay the handed-in files of `source` over a copy of the starter.

    Returns:
        The result of a check before the others, if they cannot be taken.
    """
    result = Result(NAME, _("The files that you hand in are there and can be read."), 0, Outcome.FAIL)
    try:
        into.parent.mkdir()
        disk.copy(lab.starter, into)
        for name in lab.files:
            _take(name, source, into / name, required=(lab.starter / name).exists(), again=f"boxlab reset {lab.name}")
    except Mismatch as wrong:
        result.expected, result.actual, result.why, result.next = wrong.expected, wrong.actual, wrong.why, wrong.next
        return result
    except OSError as error:
        result.outcome = Outcome.INFRASTRUCTURE
        known = errors.of_system(error)
        result.reason, result.fix = known.args[0], known.fix
        return result
    return None


def beside(source: Path, staged: Path, lab: Lab) -> list[str]:
    """What lies in `source` and is neither handed in nor the lab's own, nor what editors and Python leave."""
    names = {path.name for path in source.iterdir() if not path.name.endswith(LEFT)}
    hidden = {name for name in names if name.startswith(".") and (source / name).is_dir()}
    return sorted(visible(name) for name in names - hidden - {*lab.files} if not os.path.exists(staged / name))


def _take(name: str, source: Path, target: Path, required: bool, again: str) -> None:
    """Copy one file, if it is a text of sensible size.

    Raises:
        Mismatch: it is not.
    """

    def refuse(expected: str, actual: str, next: str) -> Mismatch:
        return Mismatch(expected, actual, _("the checks read what you hand in, and nothing else"), next)

    path = source / name
    try:
        if not path.parent.resolve().is_relative_to(source.resolve()):
            raise OSError(errno.ELOOP, "it is a link", str(path))
        state, data = _read(path)
    except (FileNotFoundError, NotADirectoryError):
        if required:
            raise refuse(
                _("a file {name}", name=name),
                _("there is none in {folder}", folder=source),
                _("write it, or `{command}` for the first one", command=again),
            ) from None
        target.unlink(missing_ok=True)
        return
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise refuse(
                _("{name} is a file", name=name), _("it is a symbolic link"), _("put the file itself in its place")
            ) from None
        raise
    if not stat.S_ISREG(state.st_mode):
        actual = _("it is a folder") if stat.S_ISDIR(state.st_mode) else _("it is a pipe or a device")
        next = _("remove it, and `{command}` for the first one", command=again)
        raise refuse(_("{name} is a file", name=name), actual, next)
    if len(data) > FILE_KIB << 10:
        raise refuse(
            _("{name} has at most {size} MiB", name=name, size=FILE_KIB >> 10),
            _("{size:.1f} MiB", size=max(state.st_size, len(data)) / (1 << 20)),
            _("it is too much: hand in what the task asks for"),
        )
    if wrong := _no_text(data):
        raise refuse(_("{name} is text in UTF-8", name=name), wrong, _("save it as plain text in UTF-8"))
    if not name.endswith(".py") and (wrong := _no_script(data)):  # Python itself reads both
        next = _(
            "save it with line ends of Unix (LF), in UTF-8 without a mark (BOM): your editor's bottom line has both"
        )
        raise refuse(
            _("{name} begins with {start} and ends its lines by a line feed", name=name, start="#!"), wrong, next
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with disk.named(target):
        target.write_bytes(data)
    if state.st_mode & stat.S_IXUSR:  # a script that an image starts
        target.chmod(0o755)


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
            return _("it is text in {encoding}", encoding=name)
    for name, zeros in (("UTF-16", data[1::2]), ("UTF-16", data[::2])):
        if data and len(data) % 2 == 0 and zeros.count(0) > len(zeros) / 2:
            return _("it is text in {encoding}", encoding=name)
    at = data.find(b"\0")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        at = error.start if at < 0 else at
    return _("byte {number} (0x{value:02x}) is no text", number=at, value=data[at]) if at >= 0 else ""


def _no_script(data: bytes) -> str:
    """Why Linux does not find what a script's first line names, if so: an editor for Windows has saved it."""
    first = data.partition(b"\n")[0]
    if first.startswith(codecs.BOM_UTF8 + b"#!"):
        return _("a mark (BOM) stands before {start}", start="#!")
    if first.startswith(b"#!") and first.endswith(b"\r"):
        return _("its lines end as on Windows (CRLF)")
    return ""


def digest(path: Path) -> str:
    """What changes when a file does, whatever its time and size say."""
    try:
        state, data = _read(path)
    except OSError as error:
        return f"error {error.errno}"
    kind = stat.S_IFMT(state.st_mode) | state.st_mode & stat.S_IXUSR
    return f"{kind} {state.st_size} {hashlib.sha256(data).hexdigest()}"
