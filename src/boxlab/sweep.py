"""Find and remove what is ours and nothing else: engine objects, processes, control groups, scratch files."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch

import docker
import docker.errors
import psutil
from docker.models.containers import Container

from boxlab import disk, engine, paths
from boxlab.errors import BoxlabError, EngineError
from boxlab.images import LAB_PREFIX, PREFIX, short_name
from boxlab.runtimes import onion

KILLED_S = 10
"""How long a killed process may take to go."""


@dataclass(frozen=True)
class Leftover:
    """One thing of ours that exists now."""

    kind: str
    name: str
    remove: Callable[[], None] = field(compare=False, repr=False)


def processes(run: str | None = None) -> list[Leftover]:
    """The processes that we started, or that one run did: virtual machines, plain boxes, checks of labs."""

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
            marked = process.environ().get(engine.MARK)
            if marked is not None and run in (None, marked):
                found.append(Leftover("process", f"{process.pid} {process.info['name']}", remover(process)))
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue  # another user's, or gone meanwhile: neither is ours
    return found


def scratch_files(run: str = "") -> list[Leftover]:
    """What lies in the scratch folder, or what one run has put there: its id is part of the name."""

    def remover(path):
        return lambda: disk.remove(path)

    if not paths.SCRATCH.is_dir():
        return []
    return [Leftover("file", str(path), remover(path)) for path in sorted(paths.SCRATCH.iterdir()) if run in path.name]


def control_groups(run: str = "") -> list[Leftover]:
    """The control groups that we made, or that one run did; only root makes any."""
    found = [path for path in onion.control_groups() if run in path.name]
    return [Leftover("control group", str(path), path.rmdir) for path in found]


def engine_objects(images: bool = False) -> list[Leftover]:
    """Containers, networks and volumes that a run of ours made; with `images`, the names of our images as well.

    What a reader builds on our images inherits their labels. It is not ours: a container is known by its run's label,
    an image by the name that we gave it.

    Raises:
        EngineError: the engine does not answer.
    """
    with engine.plain_errors():
        client = engine.connect()
        found = _running(client) + _built(client)
        if images:
            tags = (tag for image in client.images.list(filters={"label": engine.LABEL}) for tag in image.tags)
            found += [
                Leftover("image", tag, lambda tag=tag: client.images.remove(tag))
                for tag in tags
                if short_name(tag).startswith(PREFIX)
            ]
    return found


def _running(client: docker.DockerClient, run: str | None = None) -> list[Leftover]:
    """Containers, networks and volumes that a run of ours made, or one certain run."""
    made_by_us = {"label": engine.RUN_LABEL + (f"={run}" if run else "")}
    found = [
        Leftover("container", c.name, lambda c=c: _remove_container(c))
        for c in client.containers.list(all=True, filters=made_by_us, ignore_removed=True)
    ]
    found += [Leftover("network", n.name, n.remove) for n in client.networks.list(filters=made_by_us)]
    return found + [Leftover("volume", v.name, v.remove) for v in client.volumes.list(filters=made_by_us)]


def _lab_images() -> list[Leftover]:
    with engine.plain_errors():
        return _named(engine.connect(), f"{LAB_PREFIX}*")


def _remove_container(container: Container) -> None:
    """Remove it, or wait until whoever is at it already has done so."""
    try:
        container.remove(force=True, v=True)
    except docker.errors.APIError as error:
        if error.status_code != 409:
            raise
        container.wait(timeout=KILLED_S, condition="removed")


def _named(client: docker.DockerClient, pattern: str) -> list[Leftover]:
    """Images by a name of ours; what they alone stand on goes with them."""
    return [
        Leftover("image", name, lambda name=name: client.images.remove(name))
        for image in client.images.list(filters={"reference": pattern})
        for name in image.tags
        if fnmatch(short_name(name), pattern)
    ]


def _built(client: docker.DockerClient) -> list[Leftover]:
    """What experiments built for themselves: names that begin as theirs do, and steps of a build that it has left behind."""
    made_by_us = {"label": engine.RUN_LABEL}
    return [
        Leftover("image", name, lambda name=name: client.images.remove(name))
        for image in client.images.list(filters=made_by_us)
        for name in image.tags or [image.id]
        if not image.tags or short_name(name).startswith(f"{PREFIX}rung-")
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
    """All of ours that exists now, but for the images that a lab keeps so that its next check is fast.

    Raises:
        EngineError: the engine does not answer.
    """
    return processes() + control_groups() + scratch_files() + engine_objects(images)


def of_run(run: str, on_engine: bool = True) -> list[Leftover]:
    """What one run, which has ended, has left; `on_engine`: look there as well.

    Raises:
        EngineError: the engine does not answer.
    """
    found = processes(run) + control_groups(run) + scratch_files(run)
    if on_engine:
        with engine.plain_errors():
            found += _running(engine.connect(), run)
    return found


def sweep_run(run: str, on_engine: bool) -> None:
    """Remove what one run has left that could not clean up after itself.

    Raises:
        EngineError: the engine does not answer, or something on it could not be removed.
    """
    _remove(lambda: processes(run))
    _remove(lambda: of_run(run, on_engine))


def remove_started(run: str) -> None:
    """Remove the containers, networks and volumes that one run made, which may still go on itself.

    Raises:
        EngineError: the engine does not answer, or something could not be removed.
    """
    with engine.plain_errors():
        client = engine.connect()
    _remove(lambda: _running(client, run))


def remove_lab_images(lab_id: str) -> None:
    """Remove the images that one lab built.

    Raises:
        EngineError: the engine does not answer, or something uses them.
    """
    with engine.plain_errors():
        client = engine.connect()
    _remove(lambda: _named(client, f"{LAB_PREFIX}{lab_id}-*"))


def sweep(images: bool = False) -> list[Leftover]:
    """Remove all of ours and return what went; processes, control groups and files go first, as they need no engine.

    Raises:
        EngineError: the engine does not answer, or something on it could not be removed.
    """
    return (
        _remove(processes)
        + _remove(lambda: control_groups() + scratch_files())
        + _remove(lambda: engine_objects(images))
        + _remove(_lab_images)
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
