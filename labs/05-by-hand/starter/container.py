"""A container by hand: python3 container.py ROOT NAME MEMORY PROCESSES COMMAND...

Runs COMMAND in a container. ROOT, a folder where a file system is mounted, is the root of its files; NAME is its host name.
All of its processes together may have MEMORY bytes, and PROCESSES of them may run at once. Ends with COMMAND's exit status,
and leaves nothing behind.
"""

import os
import socket  # socket.sethostname(NAME) is the one system call here that Python knows
import sys
import traceback
from pathlib import Path

from syscalls import DETACH, NEW_MOUNTS, NEW_NAME, NEW_PIDS, PRIVATE, RECURSIVE, mount, pivot_root, umount, unshare

CGROUPS = Path("/sys/fs/cgroup")


def new_group(memory, processes):
    """Make a control group with these limits; returns its folder.

    A group is a folder that you make below CGROUPS; a limit is a file in it that you write a number to:

        memory.max         bytes of memory
        memory.swap.max    bytes that may be swapped out beside it: 0, or memory is no limit
        pids.max           processes

    These are the names of version 2; version 1 has a tree of groups for each kind: memory/MINE/memory.limit_in_bytes, …
    """
    # yours to write


def new_root(root):
    """Make `root` the root of all files, for this process and its children alone."""
    # yours to write


def main():
    root, name, memory, processes, *command = sys.argv[1:]
    group = new_group(int(memory), int(processes))
    child = os.fork()
    if child == 0:
        try:
            os.execvp(command[0], command)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)  # two Pythons must not both go on from here
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.exit(status if status >= 0 else 128 - status)


main()
