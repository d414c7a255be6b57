# The same system calls, made by util-linux: unshare, mount, pivot_root, umount.
import subprocess
import sys
from pathlib import Path

OUTSIDE = """
echo $$ >"$1/cgroup.procs"
inside=$2
shift 2
unshare --mount --uts --propagation private sh -ec "$inside" sh "$@"  # the first that is born into the pid namespace
exit $?
"""

INSIDE = """
hostname "$1"
cd "$2"
shift 2
mount -t proc proc proc
pivot_root . .
umount -l .
cd /
exec "$@"
"""


def main():
    root, name, memory, processes, *command = sys.argv[1:]
    group = Path("/sys/fs/cgroup") / f"container-{name}"
    group.mkdir()
    try:
        for file, limit in {"memory.max": memory, "memory.swap.max": "0", "pids.max": processes}.items():
            (group / file).write_text(limit)
        ended = subprocess.run(
            ["unshare", "--pid", "sh", "-c", OUTSIDE, "sh", str(group), INSIDE, name, root, *command]
        )
    finally:
        group.rmdir()
    sys.exit(ended.returncode if ended.returncode >= 0 else 128 - ended.returncode)


main()
