"""Errors that a reader sees: one line that says what is wrong, and one that mends it."""

import errno
import os
import re

from boxlab.language import _

_CREDENTIALS = re.compile(r"(?<!ssh)://[^/\s'\"]*@")


def without_credentials(text: str) -> str:
    """A text whose addresses have lost the name and password of a proxy or registry."""
    return _CREDENTIALS.sub("://…@", text)


class BoxlabError(Exception):
    """Something went wrong that the reader can act on.

    Attributes:
        fix: what to run or change, in one line; empty where there is nothing to do.
    """

    def __init__(self, message: str, fix: str = ""):
        super().__init__(without_credentials(message))
        self.fix = fix

    def __str__(self) -> str:
        message = super().__str__()
        return message + "\n  " + _("fix: {fix}", fix=self.fix) if self.fix else message

    def _render_traceback_(self) -> list[str]:
        """What Jupyter prints in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class EngineError(BoxlabError):
    """The Docker Engine does not answer, or refuses."""


class BuildError(BoxlabError):
    """An image or a disk could not be made."""


class NotReady(BoxlabError):
    """A box was started and did not reach its first useful output.

    Counted as a failure of the box, never as a long sample.

    Attributes:
        hung: whether it was still silent at its deadline.
    """

    def __init__(self, message: str, fix: str = "", hung: bool = False):
        super().__init__(message, fix)
        self.hung = hung


class Unavailable(BoxlabError):
    """This machine cannot run that kind of box."""


class RecordError(BoxlabError):
    """A file is not a record of ours, or not one that this version reads."""


class UsageError(BoxlabError):
    """What was asked for is not to be had: no such lab, or one that was not started."""


class LabError(BoxlabError):
    """A lab's own files are not as they must be: its author's business, never the learner's."""


_REMEDIES = {
    errno.ENOSPC: _("make room on the disk that it lies on"),
    errno.EDQUOT: _("make room: your share of the disk that it lies on is used up"),
    errno.EFBIG: _("allow larger files: `ulimit -f unlimited`"),
    errno.EROFS: _("its file system is read-only: mount it for writing, or use a folder elsewhere"),
    errno.EACCES: _("give yourself the right to it: `ls -ld` shows whose it is"),
    errno.EPERM: _("give yourself the right to it: `ls -ld` shows whose it is"),
    errno.EIO: _("the disk or the terminal fails: `sudo dmesg` says more"),
    errno.ENOTDIR: _("a file stands where a folder should: move it away"),
    errno.EISDIR: _("a folder stands where a file should: move it away"),
    errno.EEXIST: _("something stands there already: move it away"),
    errno.ENOTEMPTY: _("something stands there already: move it away"),
    errno.ELOOP: _("its links lead in a circle: remove them"),
    errno.ENAMETOOLONG: _("use a shorter path"),
    errno.EMFILE: _("allow more open files: `ulimit -n 4096`"),
    errno.ENFILE: _("the machine has too many open files: close other programs"),
    errno.ENOMEM: _("close other programs: there is not enough memory"),
    errno.EAGAIN: _("close other programs: no further process is allowed (`ulimit -u`)"),
    errno.ENOENT: _("see that it is there, then try again"),
}

LIMITED = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""What keeps this machine from starting a program, whichever it is."""


def of_system(error: OSError, where: str = "") -> BoxlabError:
    """What an error of the operating system means: what it is about, in its words, and the fix.

    Args:
        where: what it is about, if the error does not say.
    """
    # Of two paths the second is the one that is written.
    path = error.filename2 or error.filename or where or _("the system")
    words = error.strerror or str(error) or type(error).__name__
    named = isinstance(path, (str, bytes, os.PathLike))
    path = os.fsdecode(path) if named else _("file descriptor {number}", number=path)
    return BoxlabError(f"{path}: {words}", _REMEDIES.get(error.errno or 0, _("try again; if it stays so, report it")))


NO_THREAD = "can't start new thread"
"""What Python says where no further thread is allowed: of an error of the system it makes one without a number."""


def of_threads(error: RuntimeError) -> BoxlabError:
    """What it means that no further thread is allowed.

    Raises:
        RuntimeError: it is another error.
    """
    if str(error) != NO_THREAD:
        raise error
    return of_system(OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)))
