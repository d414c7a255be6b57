"""Whose a thing is: all that we start carries its owner, which is a checkout and its user, and the run that it belongs to."""

import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from boxlab import paths

if TYPE_CHECKING:  # it takes longer to import than a lab without an engine to check
    import psutil

MARK = "BOXLAB_RUN"
OWNER_MARK = "BOXLAB_OWNER"
"""Environment variables by which a process that we started is known, whoever its parent is by now: its run, and whose it is."""

RUN = os.environ.get(MARK) or secrets.token_hex(6)
"""Id of this Python process's run, on everything that it starts; that of the run that started it, if one did."""


def owner() -> str:
    """Twelve hexadecimal digits that stand for this checkout in the hands of this user, or for the owner that started us."""
    here = os.fsencode(paths.ROOT) + f"\0{os.getuid()}".encode()  # the same in each locale
    return os.environ.get(OWNER_MARK) or hashlib.sha256(here).hexdigest()[:12]


def environment(run: str = RUN) -> dict[str, str]:
    """The variables of a process that we start."""
    return {OWNER_MARK: owner(), MARK: run}


def prefix() -> str:
    """How the names of what cannot carry a label begin, such as control groups."""
    return f"boxlab-{owner()}-"


def name() -> str:
    """A new such name, of this run."""
    return f"{prefix()}{RUN}-{secrets.token_hex(4)}"


def workplace(what: str = "work") -> Path:
    """A new folder of ours, for files that this run takes away again; where it cannot, its name says whose they are."""
    return Path(tempfile.mkdtemp(dir=paths.scratch(), prefix=f"{what}-{RUN}-"))


def processes(marks: dict[str, str]) -> Iterator["psutil.Process"]:
    """The processes that have all these environment variables."""
    import psutil

    for process in psutil.process_iter(["name"]):
        try:
            if marks.items() <= process.environ().items():
                yield process
        except (psutil.Error, OSError):
            continue  # another user's, or gone meanwhile
