"""Find and remove what is ours and nothing else: engine objects, processes, control groups, scratch files."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field

import docker
import docker.errors
import psutil
from docker.models.containers import Container

from boxlab import engine, paths
from boxlab.errors import BoxlabError, EngineError
from boxlab.images import PREFIX
from boxlab.runtimes import onion

KILLED_S = 10
"""How long a killed process may take to go."""


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
            try:
                process.kill()
                process.wait(KILLED_S)
            except psutil.NoSuchProcess:
                pass  # that is what we want
            except psutil.TimeoutExpired as error:
                raise BoxlabError(f"process {process.pid} does not end", "it hangs in the kernel: restart") from error

        return remove

    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if engine.MARK in process.environ():
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


def control_groups() -> list[Leftover]:
    """The control groups that we made; only root makes any."""
    return [Leftover("control group", str(path), path.rmdir) for path in onion.control_groups()]


def engine_objects(images: bool = False) -> list[Leftover]:
    """Containers, networks and volumes that a run of ours made; with `images`, the names of our images as well.

    What a reader builds on our images inherits their labels. It is not ours: a container is known by its run's label,
    an image by the name that we gave it.

    Raises:
        EngineError: the engine does not answer.
    """
    made_by_us = {"label": engine.RUN_LABEL}
    with engine.plain_errors():
        client = engine.connect()
        found = [
            Leftover("container", c.name, lambda c=c: _remove_container(c))
            for c in client.containers.list(all=True, filters=made_by_us, ignore_removed=True)
        ]
        found += [Leftover("network", n.name, n.remove) for n in client.networks.list(filters=made_by_us)]
        found += [Leftover("volume", v.name, v.remove) for v in client.volumes.list(filters=made_by_us)]
        found += _built(client)
        if images:
            tags = (tag for image in client.images.list(filters={"label": engine.LABEL}) for tag in image.tags)
            found += [
                Leftover("image", tag, lambda tag=tag: client.images.remove(tag))
                for tag in tags
                if tag.startswith(PREFIX)
            ]
    return found


def _remove_container(container: Container) -> None:
    """Remove a container, or wait until somebody who is removing it has done so."""
    try:
        container.remove(force=True, v=True)
    except docker.errors.APIError as error:
        if error.status_code != 409:  # not "removal is already in progress"
            raise
        container.wait(condition="removed", timeout=KILLED_S)


def _built(client: docker.DockerClient) -> list[Leftover]:
    """What experiments built for themselves: names that begin as theirs do, and steps of a build that it has left behind."""
    made_by_us = {"label": engine.RUN_LABEL}
    return [
        Leftover("image", name, lambda name=name: client.images.remove(name))
        for image in client.images.list(filters=made_by_us)
        for name in image.tags or [image.id]
        if not image.tags or name.startswith(f"{PREFIX}rung-")
    ]


def remove_built() -> None:
    """Remove the images that an experiment built for itself.

    Raises:
        EngineError: the engine does not answer, or something uses them.
    """
    with engine.plain_errors():
        client = engine.connect()
    _remove(lambda: _built(client))


def leftovers(images: bool = False) -> list[Leftover]:
    """All of ours that exists now.

    Raises:
        EngineError: the engine does not answer.
    """
    return processes() + control_groups() + scratch_files() + engine_objects(images)


def sweep(images: bool = False) -> list[Leftover]:
    """Remove all of ours and return what went; processes, control groups and files go first, as they need no engine.

    Raises:
        EngineError: the engine does not answer, or something on it could not be removed.
    """
    return (
        _remove(processes)
        + _remove(lambda: control_groups() + scratch_files())
        + _remove(lambda: engine_objects(images))
    )


def _remove(find: Callable[[], list[Leftover]]) -> list[Leftover]:
    """Remove what `find` finds, until nothing more goes: some things only go after others."""
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
