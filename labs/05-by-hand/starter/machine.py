"""Makes of a container of the engine a machine to try container.py in; runs there, as root: python3 machine.py [COMMAND...]

It is given: leave it as it is. Whatever goes wrong in there leaves your own machine alone, which keeps its name, its mounts
and its groups. Then /box is a folder with the files of a system, to be somebody's root, and groups can be made below
/sys/fs/cgroup.
"""

import os
import subprocess
import sys
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
BOX, OUTSIDE = Path("/box"), Path("/outside")


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def writable_groups() -> None:
    """Let groups be made: a container is shown its own group, and may not write there."""
    if (CGROUPS / "memory").is_dir():  # version 1: a tree of groups for each kind of limit
        for kind in ("memory", "pids"):
            mount("-o", "remount,bind,rw", CGROUPS / kind)
        return
    mount("-o", "remount,bind,rw", CGROUPS)
    (CGROUPS / "machine").mkdir()  # in version 2 a group that hands out limits has no processes of its own
    for pid in (CGROUPS / "cgroup.procs").read_text().split():
        (CGROUPS / "machine" / "cgroup.procs").write_text(pid)
    (CGROUPS / "cgroup.subtree_control").write_text("+memory +pids")


writable_groups()
mount("--make-rshared", "/")  # what is mounted in one namespace is seen in others, as on most machines
OUTSIDE.mkdir()
mount("-t", "tmpfs", "outside", OUTSIDE)  # only this machine has it: it is not in /box
BOX.mkdir()
mount("--bind", "/", BOX)  # this very system's files, without what is mounted over them
mount("--make-private", BOX)  # or what is mounted on it would be mounted on / as well
mount("--make-shared", BOX)
command = sys.argv[1:] or ["bash"]
os.execvp(command[0], command)
