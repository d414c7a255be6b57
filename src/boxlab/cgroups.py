"""Control groups of ours: made with limits, looked into, emptied and removed; with version 1, version 2, or both mounted.

With version 1 there is a tree of groups for each controller, so that one group of ours is a folder in each of several trees.
"""

import contextlib
import errno
import os
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from boxlab import marks
from boxlab.errors import BoxlabError
from boxlab.language import _

ROOT = Path("/sys/fs/cgroup")

GONE_S = 60
"""How long killed processes may take to leave their group."""

PERIOD_US = 100_000
"""The kernel gives out processor time in such periods."""


def version() -> int:
    """The version that limits memory here: 1 or 2."""
    return 1 if (ROOT / "memory").is_dir() else 2


@dataclass(frozen=True)
class Group:
    """A control group: its folder in each tree that it is in."""

    folders: tuple[Path, ...]

    def join(self, pid: int) -> None:
        """Put a process into it; 0 is the caller.

        Raises:
            OSError: the kernel refuses.
        """
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def members(self) -> list[int]:
        """The processes that are in it now, or in a group below it."""
        return sorted({pid for folder in self.folders for pid in _members(folder)})

    def kill(self) -> None:
        """Kill all that is in it."""
        for pid in self.members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def remove(self, kill: bool = False) -> None:
        """Remove it, once its last process is gone, which may outlive its parent for a moment; with `kill`, end them all.

        Raises:
            BoxlabError: something stays in it.
        """
        deadline = time.monotonic() + GONE_S
        while not all(map(_removed, self.folders)):
            if time.monotonic() > deadline:
                raise BoxlabError(
                    _(
                        "the control group {folder} cannot be removed: processes {processes} are in it",
                        folder=self.folders[0],
                        processes=self.members(),
                    ),
                    _("end them, or restart the machine"),
                )
            if kill:
                self.kill()
            _wait_for_an_end(self.members(), deadline)


def make(
    name: str, *, memory_bytes: int | None = None, cpus: float | None = None, processes: int | None = None
) -> Group:
    """A new control group that is held to the limits that are given; memory is not given back by swapping.

    Raises:
        OSError: the kernel refuses; nothing of it is left.
    """
    limits: dict[str, dict[str, object]] = {}  # controller -> file -> value
    if memory_bytes is not None:
        limits["memory"] = {"memory.limit_in_bytes": memory_bytes, "memory.max": memory_bytes}
        limits["memory"] |= {"memory.memsw.limit_in_bytes": memory_bytes, "memory.swap.max": 0}
    if cpus is not None:
        quota = round(cpus * PERIOD_US)
        limits["cpu"] = {"cpu.cfs_quota_us": quota, "cpu.max": f"{quota} {PERIOD_US}"}
    if processes is not None:
        limits["pids"] = {"pids.max": processes}
    group = Group(tuple(dict.fromkeys(_tree(controller) / name for controller in limits)))
    try:
        for folder in group.folders:
            folder.mkdir()
        for controller, files in limits.items():
            folder = _tree(controller) / name
            known = [file for file in files if (folder / file).exists()]
            if not known:
                raise OSError(
                    errno.ENOENT, _("{folder} hands out no {controller}", folder=folder.parent, controller=controller)
                )
            for file in known:
                (folder / file).write_text(str(files[file]))
    except OSError:
        Group(tuple(folder for folder in group.folders if folder.exists())).remove()
        raise
    return group


def found(name: str) -> Group:
    """The control group of that name, in whichever trees a tool has made it."""
    return Group(tuple(folder for folder in ours() if folder.name == name))


def ours() -> list[Path]:
    """The folders of all control groups of this owner's that exist now."""
    trees = {path.resolve() for path in (ROOT, *ROOT.glob("*/"))}  # two names may lead to one tree: cpu, cpuacct
    return sorted(folder for tree in trees for folder in tree.glob(f"{marks.prefix()}*") if folder.is_dir())


def _tree(controller: str) -> Path:
    """Where groups with this controller are made: its own tree with version 1, else that of version 2."""
    own, unified = ROOT / controller, ROOT / "unified"
    if own.is_dir():
        return own.resolve()
    return unified if unified.is_dir() else ROOT


def _members(folder: Path) -> list[int]:
    found: list[int] = []
    for below in (folder, *folder.glob("**/")):
        with contextlib.suppress(FileNotFoundError):  # it is just being removed
            found += map(int, (below / "cgroup.procs").read_text().split())
    return found


def _removed(folder: Path) -> bool:
    """Remove a group and those below it, and say whether it is gone."""
    try:
        for below in sorted({folder, *folder.glob("**/")}, reverse=True):
            below.rmdir()
    except FileNotFoundError:
        return not folder.exists()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def _wait_for_an_end(pids: list[int], deadline: float) -> None:
    """Wait until one of these processes has ended. The kernel may hold their group for a moment longer."""
    with contextlib.ExitStack() as stack:
        ends = []
        for pid in pids:
            try:
                ends.append(os.pidfd_open(pid))
            except ProcessLookupError:
                return
            stack.callback(os.close, ends[-1])
        select.select(ends, [], [], max(0.0, deadline - time.monotonic()) if ends else 0.002)
