"""Find and remove what is ours and nothing else: engine objects, processes, scratch files."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field

import docker.errors
import psutil

from boxlab import engine, paths
from boxlab.errors import EngineError

MARK = "BOXLAB_RUN"
"""Environment variable by which a process that we started is known, whoever its parent is by now."""


@dataclass(frozen=True)
class Leftover:
    """One thing of ours that exists now."""

    kind: str
    name: str
    remove: Callable[[], None] = field(compare=False, repr=False)


def processes() -> list[Leftover]:
    """The processes that we started: virtual machines and plain boxes."""

    def remover(process):
        def remove():
            process.kill()
            process.wait(10)

        return remove

    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if MARK in process.environ():
                found.append(Leftover("process", f"{process.pid} {process.info['name']}", remover(process)))
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue  # another user's, or gone meanwhile: neither is ours
    return found


def scratch_files() -> list[Leftover]:
    """What lies in the scratch folder."""

    def remover(path):
        return (lambda: shutil.rmtree(path)) if path.is_dir() else path.unlink

    if not paths.SCRATCH.is_dir():
        return []
    return [Leftover("file", str(path), remover(path)) for path in sorted(paths.SCRATCH.iterdir())]


def engine_objects(images: bool = False) -> list[Leftover]:
    """Containers, networks and volumes with our label; with `images`, image tags as well.

    Raises:
        EngineError: the engine does not answer.
    """
    ours = {"label": engine.LABEL}
    with engine.plain_errors():
        client = engine.connect()
        found = [
            Leftover("container", c.name, lambda c=c: c.remove(force=True, v=True))
            for c in client.containers.list(all=True, filters=ours, ignore_removed=True)
        ]
        found += [Leftover("network", n.name, n.remove) for n in client.networks.list(filters=ours)]
        found += [Leftover("volume", v.name, v.remove) for v in client.volumes.list(filters=ours)]
        if images:
            found += [
                Leftover("image", (i.tags or [i.short_id])[0], lambda i=i: client.images.remove(i.id, force=True))
                for i in client.images.list(filters=ours)
            ]
    return found


def leftovers(images: bool = False) -> list[Leftover]:
    """All of ours that exists now.

    Raises:
        EngineError: the engine does not answer.
    """
    return processes() + scratch_files() + engine_objects(images)


def sweep(images: bool = False) -> list[Leftover]:
    """Remove all of ours and return what went; processes and files go first, as they need no engine.

    Raises:
        EngineError: the engine does not answer, or something on it could not be removed.
    """
    return _remove(lambda: processes() + scratch_files()) + _remove(lambda: engine_objects(images))


def _remove(find: Callable[[], list[Leftover]]) -> list[Leftover]:
    """Remove what `find` finds, until nothing more goes.

    Parents of an image that the classic builder made only go after their children, so one pass is not enough.
    """
    removed: list[Leftover] = []
    while found := find():
        went, refused = [], None
        for item in found:
            try:
                with engine.plain_errors():
                    item.remove()
                went.append(item)
            except EngineError as error:
                if isinstance(error.__cause__, docker.errors.NotFound):
                    went.append(item)
                else:
                    refused = error
        removed += [item for item in went if item not in removed]
        if refused and not went:
            raise refused
    return removed
