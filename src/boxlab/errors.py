"""Errors that a reader sees: one line that says what is wrong, and one that mends it."""

import re

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
        return f"{message}\n  fix: {self.fix}" if self.fix else message

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
