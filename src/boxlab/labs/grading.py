"""Grade what learners have handed in: a folder or an archive for each, and in it folders that are named as the labs.

As by `boxlab check`, only the files that a lab asks for are read, and the checks are those of this checkout. Nothing else of an archive
is unpacked, no link is followed, and how much is read is bounded.
"""

import gzip
import hashlib
import io
import secrets
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from boxlab import disk, marks, progress
from boxlab.errors import UsageError
from boxlab.interrupts import deferred
from boxlab.labs import files, runner, workspace
from boxlab.labs.checks import Outcome, Result, visible
from boxlab.labs.lab import Lab
from boxlab.labs.report import Report
from boxlab.language import _

SCHEMA = "containers-measured/grade"
VERSION = 1

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
"""How the names of archives end."""

ARCHIVE_MIB = 64
"""How much an archive may hold, unpacked: what a lab asks for are some texts."""

FOLDERS = 10_000
"""How many folders of a learner's are looked into, the upper ones first."""

DEPTH = 5
"""How deep."""

UNREADABLE = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, struct.error, EOFError, ValueError),
    *(RuntimeError, NotImplementedError),  # it has a password, or is packed in a way that Python does not know
)
"""What Python raises of an archive that it cannot read."""

MISSING = "missing"
"""What became of who has handed in nothing for a lab; else it is an `Outcome`."""


@dataclass(frozen=True)
class Grade:
    """What became of one learner's answer to one lab: a row of a table.

    Attributes:
        outcome: of the report, or `MISSING`.
        failed: names of the checks that failed, or could not be done.
        reason: why, in the words of these checks.
        same_files_as: who before them has handed in the very same, which is not the starter.
    """

    learner: str
    lab: str
    outcome: str
    points: int
    of: int
    failed: str = ""
    reason: str = ""
    same_files_as: str = ""

    def cells(self) -> list[str]:
        """Its values as a spreadsheet may have them: none becomes a formula."""
        texts = map(str, asdict(self).values())
        return [f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text for text in texts]


HEAD = [field.name for field in fields(Grade)]
"""What stands above `Grade.cells`."""


@dataclass(frozen=True)
class Learner:
    """What one has handed in.

    Attributes:
        folders: in which a lab's may be, the upper ones first.
        refused: what is wrong with an archive.
    """

    name: str
    folders: list[Path]
    refused: str

    def find(self, lab: Lab, alone: bool) -> Path | None:
        """The folder with the answer to a lab; if it is the only one that is asked for, whatever its name."""
        named = [folder for folder in self.folders if folder.name == lab.id]
        if alone and not named:
            named = [folder for folder in self.folders if any((folder / name).is_file() for name in lab.files)]
        return named[0] if named else None


def grade(place: Path, labs: list[Lab], alone: bool = False) -> Iterator[tuple[Grade, Report | None]]:
    """Check all that was handed in, lab by lab, and draw the same for all learners; a bar says how far it is.

    Args:
        place: where each learner has a folder or an archive.
        labs: those that count; one that nobody has handed in does not.
        alone: whether only one lab was asked for, so that its files need no folder of its name.

    Yields:
        A row, and the report that it sums up; None where nothing was checked.

    Raises:
        UsageError: nothing was handed in.
        Busy: another command works on a lab.
        OSError: something cannot be read, or there is no room.
    """
    planted, draws = secrets.randbits(32), secrets.randbits(32)
    scratch = marks.workplace("grade")
    try:
        learners = [_learner(path, scratch, labs) for path in _entries(place)]
        jobs = [(lab, [(each, each.find(lab, alone)) for each in learners]) for lab in labs]
        jobs = [(lab, found) for lab, found in jobs if any(folder or each.refused for each, folder in found)]
        if not jobs:
            raise UsageError(
                _("nothing was handed in at {folder}", folder=place),
                _(
                    "a folder or an archive for each learner, and in it the labs', such as {example}",
                    example=f"kim/{labs[0].id}" if labs else "kim",
                ),
            )
        with progress.bar(_("grade"), total=len(learners) * len(jobs)) as bar:
            for lab, found in jobs:
                seen = {_digest(lab, lab.starter): ""}
                with workspace.lock(lab.id):
                    for each, folder in found:
                        bar.set_postfix_str(f"{lab.id}, {each.name}")
                        report = None
                        if folder:
                            report = runner.run(lab, folder, planted, draws=draws)
                        elif each.refused:
                            report = _refusal(lab, each.refused)
                        same = seen.setdefault(_digest(lab, folder), each.name) if folder else ""
                        yield _row(each.name, lab, report, same if same != each.name else ""), report
                        bar.update()
    finally:
        with deferred():
            disk.remove(scratch)


def to_json(row: Grade, report: Report | None) -> dict[str, Any]:
    """Both as data, valid by grade.schema.json."""
    return {"schema": SCHEMA, "version": VERSION} | asdict(row) | {"report": report.to_json() if report else None}


def _row(name: str, lab: Lab, report: Report | None, same: str) -> Grade:
    if not report:
        return Grade(name, lab.id, MISSING, 0, lab.points)
    wrong = [each for each in report.results if each.outcome in (Outcome.FAIL, Outcome.INFRASTRUCTURE)]
    reasons = dict.fromkeys(each.reason or each.actual for each in wrong)
    failed = " ".join(each.name for each in wrong)
    return Grade(name, lab.id, report.outcome, report.points, lab.points, failed, "; ".join(reasons), same)


def _refusal(lab: Lab, why: str) -> Report:
    """The report of an archive that cannot be read."""
    result = Result(files.NAME, _("The files that you hand in are there and can be read."), 0, Outcome.FAIL)
    result.expected, result.actual = _("an archive that can be unpacked"), why
    result.why, result.next = _("the checks read what is in it"), _("pack it again, and unpack it yourself once")
    return Report(lab.id, lab.title, lab.points, datetime.now(UTC).isoformat(timespec="seconds"), results=[result])


def _digest(lab: Lab, folder: Path) -> str:
    """What is the same for the same files."""
    return hashlib.sha256(repr([files.digest(folder / name) for name in lab.files]).encode()).hexdigest()


def _entries(place: Path) -> list[Path]:
    """Folders and archives in a folder, by name."""
    kept = (path for path in place.iterdir() if not path.name.startswith(".") and not path.is_symlink())
    return sorted(path for path in kept if path.is_dir() or _is_archive(path))


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith(ARCHIVES) and path.is_file() and not path.is_symlink()


def _learner(path: Path, scratch: Path, labs: list[Lab]) -> Learner:
    """What one has handed in: a folder, which may hold archives as those of learning platforms do, or an archive."""
    archives = [path] if path.is_file() else sorted(filter(_is_archive, path.iterdir()))
    folders = _below(path) if path.is_dir() else []
    refused = ""
    for archive in archives:
        into = scratch / secrets.token_hex(8)
        into.mkdir()
        refused = _unpack(archive, into, {PurePosixPath(name).name for lab in labs for name in lab.files}) or refused
        folders += _below(into)
    return Learner(visible(path.name), folders, refused)


def _below(place: Path) -> list[Path]:
    """A folder and those in it, the upper ones first; no links."""
    found = [place]
    for folder in found:
        if len(found) < FOLDERS and len(folder.parts) - len(place.parts) < DEPTH:
            found += sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    return found


def _unpack(archive: Path, into: Path, wanted: set[str]) -> str:
    """Write those files of an archive that may belong to an answer; what is wrong with it, if so.

    Raises:
        OSError: it cannot be read, or there is no room.
    """
    try:
        members = list(_members(archive, wanted))
    except UNREADABLE as error:
        return visible(f"{archive.name}: {error or type(error).__name__}")
    for parts, content, executable in members:
        target = into.joinpath(*parts)
        if any(into.joinpath(*parts[:depth]).is_file() for depth in range(1, len(parts))) or target.is_dir():
            continue  # two members of one name, of which the first counts
        target.parent.mkdir(parents=True, exist_ok=True)
        with disk.named(target):
            target.write_bytes(content)
        target.chmod(0o755 if executable else 0o644)
    return ""


def _members(archive: Path, wanted: set[str]) -> Iterator[tuple[tuple[str, ...], bytes, bool]]:
    """Path, content and whether it is executable, of each file that is `wanted`, as far as it may be handed in.

    Raises:
        one of `UNREADABLE`: it cannot be read, or holds too much.
    """
    most = (files.FILE_KIB << 10) + 1  # so that what is longer is seen to be

    def asked_for(name: str) -> tuple[str, ...]:
        parts = PurePosixPath(name.replace("\\", "/")).parts  # some programs of Windows write its own
        inside = (
            len(parts) <= DEPTH + 2 and parts[:1] != ("/",) and ".." not in parts and all(len(p) < 100 for p in parts)
        )
        return parts if parts and parts[-1] in wanted and inside and "\0" not in name else ()

    with archive.open("rb") as file:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(file) as packed:
                left = ARCHIVE_MIB << 20
                for each in packed.infolist():
                    mode = each.external_attr >> 16
                    if (parts := asked_for(each.filename)) and stat.S_IFMT(mode) in (0, stat.S_IFREG):
                        with packed.open(each) as member:
                            content = member.read(most)
                        left -= len(content)
                        if left < 0:
                            raise ValueError(_too_much())
                        # One made on Windows has no modes: what says which program runs it, can be run.
                        yield parts, content, bool(mode & stat.S_IXUSR) if mode else content.startswith(b"#!")
            return
        plain = archive.name.lower().endswith(".tar")
        stream = _Bounded(file if plain else gzip.GzipFile(fileobj=file))
        with tarfile.open(fileobj=stream, mode="r|") as packed_tar:
            for info in packed_tar:
                if (parts := asked_for(info.name)) and info.isreg():
                    content_file = packed_tar.extractfile(info)
                    assert content_file  # it is a regular file
                    yield parts, content_file.read(most), bool(info.mode & stat.S_IXUSR)


def _too_much() -> str:
    return _("it holds more than {size} MiB", size=ARCHIVE_MIB)


class _Bounded(io.RawIOBase):
    """A stream of which no more than `ARCHIVE_MIB` can be read, whatever its headers say."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile):
        self._stream, self._left = stream, ARCHIVE_MIB << 20

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(_too_much())
        return data
