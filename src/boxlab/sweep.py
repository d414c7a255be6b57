"""Find and remove what is this owner's and nothing else: engine objects, processes, control groups, files.

Other checkouts, and other users, may be at work on this machine and on this engine.
"""

import os
import select
from collections.abc import Callable, Iterable
from functools import partial

import docker
import docker.errors
import psutil
from docker.models.containers import Container as SdkContainer

from boxlab import builder, cgroups, disk, engine, images, leftover, marks, names, paths
from boxlab.errors import BoxlabError
from boxlab.language import _
from boxlab.leftover import Leftover

KILLED_S = 10
"""How long a killed process may take to go."""


KEPT = "lab"
"""What images that a lab keeps have in place of a run. A container with it has it from its image: a reader has started it."""

PODMANS = frozenset(
    "aardvark-dns catatonit conmon fuse-overlayfs pasta pasta.avx2 rootlessport rootlessport-child slirp4netns".split()
)
"""What Podman's command leaves running for containers and networks. It inherits our variables and is none of ours: it ends with
the last that it serves, which may be somebody else's."""


def processes(run: str | None = None) -> list[Leftover]:
    """The processes that we started, or that one run did: virtual machines, plain boxes, checks of labs.

    Never this one, nor those that it runs in: a command may be called from a notebook or a test that was started by us.
    """
    within = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    marked = {marks.OWNER_MARK: marks.owner()} | ({marks.MARK: run} if run else {})
    return [
        Leftover("process", f"{process.pid} {process.info['name']}", partial(_kill, process))
        for process in marks.processes(marked)
        if process.pid not in within and process.info["name"] not in PODMANS and not _is_pythons(process)
    ]


def _is_pythons(process: psutil.Process) -> bool:
    """Whether Python started it for itself, as it does from 3.14 on for the lock of a progress bar: it ends with whom it serves."""
    try:
        return any("multiprocessing.resource_tracker" in argument for argument in process.cmdline())
    except psutil.Error:  # gone meanwhile
        return False


def _kill(process: psutil.Process) -> None:
    """Kill a process and wait for its end; whoever started it may take its time to ask how it ended."""
    try:
        process.kill()
        if not hasattr(os, "pidfd_open"):
            process.wait(KILLED_S)
            return
        handle = os.pidfd_open(process.pid)
        try:
            ended = select.select([handle], [], [], KILLED_S)[0]
        finally:
            os.close(handle)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return  # that is what we want
    except psutil.TimeoutExpired:
        ended = []
    if not ended:
        raise BoxlabError(_("process {number} does not end", number=process.pid), _("it hangs in the kernel: restart"))


def scratch_files(run: str = "") -> list[Leftover]:
    """What lies in the scratch folder and drafts of files, or what one run has put there: its id is part of the name."""
    found = sorted(paths.SCRATCH.iterdir()) if paths.SCRATCH.is_dir() else []
    found += sorted(paths.OPEN.glob(f"{marks.prefix()}*"))
    return [
        Leftover("file", str(path), partial(disk.remove, path)) for path in [*found, *disk.drafts()] if run in path.name
    ]


def control_groups(run: str = "") -> list[Leftover]:
    """The control groups that we made, or that one run did; only root makes any."""
    found = [path for path in cgroups.ours() if run in path.name]
    return [Leftover("control group", str(path), partial(cgroups.Group((path,)).remove, kill=True)) for path in found]


def engine_objects(images: bool = False) -> list[Leftover]:
    """What is ours on the engine: what runs of ours made or declared, and what builds of ours have left behind.

    With `images`, also this checkout's names of the images that all share: one goes when its last name does.
    What a reader builds on our images inherits their labels. It is not ours: an image is known by the name that we gave it.

    Raises:
        EngineError: the engine does not answer.
    """
    return _running() + names.made() + _built() + (_named(_is_own) if images else [])


@engine.plain_errors()
def _running(run: str = "") -> list[Leftover]:
    """Containers, networks and volumes that a run of ours made, or one certain run."""
    client = engine.connect()
    labels = [f"{engine.OWNER_LABEL}={marks.owner()}", engine.RUN_LABEL + (f"={run}" if run else "")]
    made_by_us: dict[str, str | list[str] | bool] = {"label": labels}
    found = [
        Leftover("container", c.name or "", partial(_remove_container, c))
        for c in client.containers.list(all=True, filters=made_by_us, ignore_removed=True)
        if c.labels.get(engine.RUN_LABEL) != KEPT
    ]
    found += [
        Leftover("network", n.name or "", partial(engine.remove_network, n.id or ""))
        for n in client.networks.list(filters=made_by_us)
    ]
    return found + [Leftover("volume", v.name, v.remove) for v in client.volumes.list(filters=made_by_us)]


def _remove_container(container: SdkContainer) -> None:
    """Remove it, or wait until whoever is at it already has done so."""
    try:
        container.remove(force=True, v=True)
    except docker.errors.APIError as error:
        if error.status_code != 409:
            raise
        container.wait(timeout=KILLED_S, condition="removed")


@engine.plain_errors()
def _named(wanted: Callable[[str], bool]) -> list[Leftover]:
    """Names of ours that images have; what they alone stand on goes with them."""
    client = engine.connect()
    return [
        Leftover("image", short, partial(client.images.remove, name), alone=f":{builder.STEP}" in name)
        for row in engine.listed(filters={"reference": f"{images.PREFIX}*"})
        for name in engine.tags(row)
        if (short := images.short_name(name)).startswith(images.PREFIX) and wanted(short)
    ]


def _is_own(name: str) -> bool:
    """Whether an image's name is this checkout's own of an image that all share."""
    return name.endswith(f":{marks.owner()}")


def _is_passing(name: str, *beginnings: str) -> bool:
    """Whether an image's name is this checkout's, of an image that others do not share, and begins in such a way."""
    return name.startswith(beginnings) and name.partition(":")[0].endswith(f"-{marks.owner()}")


def _built() -> list[Leftover]:
    """What experiments built for themselves, and images without a name that a build of ours has left behind."""
    client = engine.connect()
    return (
        _named(lambda name: _is_passing(name, *images.PASSING))
        + _pushed()
        + [Leftover("image", identity, partial(client.images.remove, identity)) for identity in builder.unnamed()]
    )


@engine.plain_errors()
def _pushed() -> list[Leftover]:
    """Names at a registry on this machine of what runs of ours built: an experiment that pushes was killed. What a reader builds on
    the image of a lab has that one's labels, which say no run."""
    client = engine.connect()
    return [
        Leftover("image", name, partial(client.images.remove, name))
        for row in engine.listed(filters={"label": f"{engine.OWNER_LABEL}={marks.owner()}"})
        if (row["Labels"] or {}).get(engine.RUN_LABEL, KEPT) != KEPT
        for name in engine.tags(row)
        if name.startswith("localhost:")
    ]


def remove_built() -> None:
    """Remove the images that an experiment built for itself.

    Raises:
        EngineError: the engine does not answer, or something uses them.
    """
    leftover.remove(_built)


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
        found += _running(run) + names.made(run)
    return found


def sweep_run(run: str, on_engine: bool) -> None:
    """Remove what one run has left that could not clean up after itself.

    Raises:
        EngineError: the engine does not answer, or something on it could not be removed.
    """
    leftover.remove(lambda: processes(run))
    leftover.remove(lambda: of_run(run, on_engine))


def remove_lab_images(lab_id: str) -> None:
    """Remove the images that one lab built.

    Raises:
        EngineError: the engine does not answer, or something uses them.
    """
    leftover.remove(lambda: _named(lambda n: _is_passing(n, f"{images.LAB_PREFIX}{lab_id}-")))


def sweep(
    images: bool = False, shared: Iterable[str] = (), watch: Callable[[Leftover], None] = lambda item: None
) -> list[Leftover]:
    """Remove all of ours and return what went; processes, control groups and files go first, as they need no engine.

    Args:
        images: as for `engine_objects`.
        shared: images of the book to remove under every name, whichever checkout gave it.
        watch: called with each thing that has gone.

    Raises:
        BoxlabError: the engine does not answer, or something could not be removed; all else has gone.
    """
    removed: list[Leftover] = []
    refused: list[BoxlabError] = []
    for find in (
        processes,
        lambda: control_groups() + scratch_files(),
        lambda: engine_objects(images) + lab_images() + _shared(shared),
    ):
        try:
            removed += leftover.remove(find, watch)
        except BoxlabError as error:
            refused.append(error)
    if refused:
        raise type(refused[-1])("; ".join(error.args[0] for error in refused), refused[-1].fix)
    names.forget_dead()
    return removed


def lab_images() -> list[Leftover]:
    """The images that this checkout's labs keep from one check to the next.

    Raises:
        EngineError: the engine does not answer.
    """
    return _named(lambda name: _is_passing(name, images.LAB_PREFIX))


def _shared(names: Iterable[str]) -> list[Leftover]:
    wanted = {images.PREFIX + name for name in names}
    return _named(lambda name: name.partition(":")[0] in wanted)
