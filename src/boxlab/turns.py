"""Taking turns: what only one process on this machine may do at a time, whoever's and in whatever checkout it is."""

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from boxlab import paths, progress
from boxlab.errors import BoxlabError
from boxlab.language import _

PLACES = ("/tmp", os.environ.get("XDG_RUNTIME_DIR", ""))
"""Where all users of this machine can leave a file; the first that can be written to."""

_BEGINNING, _END = "containers-measured-", ".lock"
"""Between them, a file's name has that of its turn."""

HELD = "BOXLAB_TURNS"
"""Environment variable with the turns that this process has already, through itself or whoever started it."""


class Held(Exception):
    """Somebody else has the turn: who, in words."""


@contextlib.contextmanager
def turn(name: str, until: str) -> Iterator[None]:
    """Hold a turn, waiting for it as long as it takes; a process that has it, and what it starts, has it at once.

    Args:
        name: which one.
        until: what there is to wait for, in words.

    Raises:
        BoxlabError: no file can be shared with the other users of this machine.
    """
    held = os.environ.get(HELD, "").split()
    if name in held:
        yield
        return
    try:
        handle = take(name)
    except Held as other:
        progress.say(_("waiting until {until}: {who}", until=until, who=other))
        handle = take(name, wait=True)
    os.environ[HELD] = " ".join([*held, name])
    try:
        yield
    finally:
        os.environ[HELD] = " ".join(held)
        give(name, handle)


def take(name: str, wait: bool = False) -> int:
    """A descriptor that holds a turn until it is closed, or its process ends.

    Raises:
        Held: somebody else has it, and we are not to wait.
        BoxlabError: no file can be shared with the other users of this machine.
    """
    while True:
        path = _path(name)
        handle = _open(path)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise Held(_who(handle)) from error
            if _is_at(handle, path):  # else the one before us has taken it away with its turn
                about = {"checkout": str(paths.ROOT), "process": os.getpid()}
                about["since"] = datetime.now().astimezone().isoformat(timespec="seconds")
                with contextlib.suppress(OSError):  # a full disk: the turn is ours without a note for people, too
                    os.truncate(handle, 0)
                    os.pwrite(handle, json.dumps(about).encode(), 0)
                return handle
        except BaseException:  # Ctrl-C while waiting as well
            os.close(handle)
            raise
        os.close(handle)


def give(name: str, handle: int) -> None:
    """Give a turn back."""
    with contextlib.suppress(PermissionError):  # another user's file: it stays, for the next
        _path(name).unlink(missing_ok=True)
    os.close(handle)


def forget_dead() -> None:
    """Remove the files of turns that nobody has: of processes that were killed, in whatever checkout."""
    with contextlib.suppress(BoxlabError):  # no file can be shared, so that there is none
        for path in _path("").parent.glob(f"{_BEGINNING}*{_END}"):
            name = path.name.removeprefix(_BEGINNING).removesuffix(_END)
            with contextlib.suppress(Held, BoxlabError):  # somebody has it, or it is no file of ours
                give(name, take(name))


def _path(name: str) -> Path:
    place = next((place for place in PLACES if place and os.access(place, os.W_OK | os.X_OK)), None)
    if not place:
        raise BoxlabError(
            _("nothing can be written to /tmp, by which checkouts take turns"), _("`ls -ld /tmp` says why")
        )
    return Path(place) / f"{_BEGINNING}{name}{_END}"


def _open(path: Path) -> int:
    """Open a file that others may have made, and that is no trap: no link, no device, nothing but an empty note.

    Raises:
        BoxlabError: it is one.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW
    try:
        try:
            handle = os.open(path, flags)
        except FileNotFoundError:
            handle = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
            os.fchmod(handle, 0o666)  # whatever the umask is
    except FileExistsError:  # somebody was faster
        return _open(path)
    except OSError as error:
        raise BoxlabError(
            _("{path} cannot be used to take turns: {why}", path=path, why=error.strerror),
            _("`ls -l {path}`, then remove it", path=path),
        ) from error
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(handle)
        raise BoxlabError(
            _("{path} is not the file of ours that belongs there", path=path),
            _("`ls -l {path}`, then remove it", path=path),
        )
    return handle


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _who(handle: int) -> str:
    """Who has the turn, by the note in its file."""
    try:
        about = json.loads(os.pread(handle, 4096, 0))
        return _(
            "the checkout {folder}, process {process}, since {time}",
            folder=about["checkout"],
            process=about["process"],
            time=about["since"],
        )
    except (ValueError, KeyError, TypeError):
        return _("another checkout")  # it is just writing that
