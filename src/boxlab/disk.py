"""Files of ours: written whole or not at all, copied until the first error, removed whatever their permissions."""

import errno
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

from boxlab import marks, paths

LONG = 2000
"""Characters of a path from which on a deeper one may be too long for the kernel."""


def write(path: Path, text: str) -> None:
    """Write a file of text in UTF-8, so that it is never half there.

    Raises:
        OSError: it could not be written; what there was stays.
    """
    new = path.with_name(f".{path.name}.{marks.name()}")  # beside it, as only that is sure to be the same file system
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with named(path):
            new.write_text(text, encoding="utf-8")
            _settle(new)
        new.replace(path)
    except BaseException:
        with suppress(OSError):  # what went wrong before says more
            new.unlink()
        raise


def _settle(path: Path) -> None:
    """Have a file on the disk before it takes another's place, or a power failure may leave an empty one."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def drafts() -> list[Path]:
    """What is left of files whose writing was killed."""
    folders = (paths.RESULTS, paths.CACHE, paths.NAMES, paths.WORK / ".progress", *paths.CACHE.glob("docker/*"))
    return sorted(path for folder in folders for path in folder.glob(f".*.{marks.prefix()}*"))


def copy(source: Path, into: Path, without: str = "") -> None:
    """Copy a folder into a new one, links as links, or as much of it as can be: shutil's copy hides which error it met.

    Args:
        without: names that are left out, as a pattern.

    Raises:
        OSError: the first thing that could not be copied.
    """
    into.mkdir()
    for path in sorted(source.iterdir()):
        if fnmatch(path.name, without):
            continue
        if path.is_dir() and not path.is_symlink():
            copy(path, into / path.name, without)
        else:
            shutil.copy(path, into / path.name, follow_symlinks=False)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, also where a program took permissions away or dug deep.

    What is mounted there, as a killed mmdebstrap leaves it, is unmounted and never gone into.

    Raises:
        OSError: something does not go.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    unmount(path)
    folders = [str(path)]
    for number, folder in enumerate(folders):
        if len(folder) > len(str(path)) + LONG:
            shorter = str(path / f"deep-{secrets.token_hex(8)}")
            os.rename(folder, shorter)
            folder = folders[number] = shorter
        with suppress(PermissionError):  # of somebody else: whether that matters, shows below
            os.chmod(folder, 0o700)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    os.unlink(entry.path)
    for folder in reversed(folders):
        os.rmdir(folder)


def unmount(path: Path) -> None:
    """Take away what is mounted on a folder of ours or below it, which only root can have mounted.

    Raises:
        OSError: something stays mounted.
    """
    top = str(path.resolve())
    for place in reversed(_mounted()):
        if place == top or place.startswith(f"{top}/"):
            subprocess.run(["umount", "--lazy", place], capture_output=True)
    if stays := next((place for place in _mounted() if place == top or place.startswith(f"{top}/")), None):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), stays)


def _mounted() -> list[str]:
    """Where something is mounted, in the order in which that was done; nothing where the kernel does not say."""
    table = Path("/proc/self/mountinfo")
    lines = table.read_text(errors="surrogateescape").splitlines() if table.exists() else []
    return [re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), line.split(" ")[4]) for line in lines]


@contextmanager
def named(path: Path | str) -> Iterator[None]:
    """Give an error its path, which those of writing do not have."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
