"""One thing of ours that exists now, and the removal of many."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby

import docker.errors

from boxlab import engine
from boxlab.errors import BoxlabError, EngineError
from boxlab.language import _

KINDS = {
    "process": _("process"),
    "control group": _("control group"),
    "file": _("file"),
    "container": _("container"),
    "image": _("image"),
    "network": _("network"),
    "volume": _("volume"),
    "project": _("project"),
    "port": _("port"),
}
"""What a reader is told of each kind of thing."""

USERS = {
    "network": "`docker network inspect {name}`",
    "volume": "`docker ps --all --filter volume={name}`",
    "image": "`docker ps --all --filter ancestor={name}`",
}
"""What shows who uses a thing that does not go."""

AT_ONCE = 8
"""How many images are removed at a time: containerd frees the room of those that go together only once."""


@dataclass(frozen=True)
class Leftover:
    """One thing of ours that exists now.

    Attributes:
        alone: whether it must not go beside others: of two images that stand on each other, the lower one would stay, without
            a name.
    """

    kind: str
    name: str
    remove: Callable[[], None] = field(compare=False, repr=False)
    alone: bool = field(default=False, compare=False)


def remove(find: Callable[[], list[Leftover]], watch: Callable[[Leftover], None] = lambda item: None) -> list[Leftover]:
    """Remove what `find` finds, until nothing more goes, as some things only go after others; return what went.

    Args:
        watch: called with each that has gone.

    Raises:
        BoxlabError: something does not go; all else has gone.
    """
    removed: list[Leftover] = []
    while True:
        went, refused = [], None
        for together, items in groupby(sorted(find(), key=lambda item: item.alone), _may_go_together):
            each = list(items)
            for item, error in zip(each, _refusals(each, together), strict=True):
                if error:
                    refused = refused or error
                else:
                    went += [item] if item not in removed else []
        for item in went:
            watch(item)
        removed += went
        if not went:
            if refused:
                raise refused
            return removed


def _may_go_together(item: Leftover) -> bool:
    return item.kind == "image" and not item.alone


def _refusals(items: list[Leftover], together: bool) -> list[BoxlabError | None]:
    """Remove these, and say of each what keeps it."""
    if together:
        with suppress(RuntimeError), ThreadPoolExecutor(AT_ONCE) as threads:  # no further thread may be allowed
            return list(threads.map(_refusal, items))
    return [_refusal(item) for item in items]


def _refusal(item: Leftover) -> BoxlabError | None:
    """What keeps a thing from being removed; it is gone where that is nothing."""
    try:
        _remove(item)
    except BoxlabError as error:
        return error
    return None


def _remove(item: Leftover) -> None:
    try:
        with engine.plain_errors():
            item.remove()
    except EngineError as error:
        if isinstance(error.__cause__, docker.errors.NotFound):
            return
        if error.fix or item.kind not in USERS:
            raise
        shows = USERS[item.kind].format(name=item.name)
        raise EngineError(error.args[0], _("{command} shows what uses it: end that first", command=shows)) from error
    except FileNotFoundError:
        pass  # gone meanwhile, which is what we want
    except OSError as error:
        fix = f"`sudo rm -rf {item.name}`" if item.kind == "file" else ""
        message = _("{kind} {name} cannot be removed: {why}", kind=KINDS[item.kind], name=item.name, why=error.strerror)
        raise BoxlabError(message, fix) from error
