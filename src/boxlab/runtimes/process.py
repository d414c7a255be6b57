"""A plain process in a chroot of the image's files: no namespaces, no cgroup, no second kernel."""

import math
import os
import resource
import shutil
import subprocess
import sys
from typing import Any

from boxlab import images, labels, rootfs
from boxlab.errors import BuildError, Unavailable
from boxlab.language import _
from boxlab.runtimes.box import Runtime, Workload
from boxlab.runtimes.spawn import HostProcess


class Process(Runtime):
    """The workload as a child of this very Python process, with the image's folder as its root.

    Where we are not root, chroot needs a user namespace; the record then says so.
    """

    kind = "process"
    label = labels.BOXES[kind]
    phases = {
        "spawned": "fork",
        "app": "process",
        "ready": "output",
    }

    def prepare(self, workload: Workload) -> None:
        if sys.platform != "linux":
            raise Unavailable(_("a plain process can only run the image's Linux files on Linux"), _("leave it out"))
        unshare = shutil.which("unshare")
        if not unshare:
            raise Unavailable(_("the command `unshare` is missing"), "`sudo apt-get install util-linux`")
        self._image = images.ensure(workload.image)
        try:
            files = rootfs.directory(self._image)
        except BuildError as error:  # the other boxes need no files here
            raise Unavailable(error.args[0], error.fix) from error
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        self._enter = [unshare, *as_root, f"--root={files}", f"--wd={self._image.working_dir}"]
        tried = subprocess.run([*self._enter, "/bin/true"], capture_output=True, text=True)
        if tried.returncode:
            raise Unavailable(
                _("a process may not change its root folder here: {why}", why=tried.stderr.strip()),
                _(
                    "run as root; or on Ubuntu, until the next restart and for all programs: "
                    "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0` (with 1, it's as before)"
                ),
            )

    def details(self) -> dict[str, Any]:
        return {"user_namespace": os.geteuid() != 0}

    def _spawn(self, workload: Workload) -> HostProcess:
        process = HostProcess([*self._enter, *self._image.command], self._image.environment)
        limit = workload.memory_mib << 20
        resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))
        os.sched_setaffinity(process.pid, sorted(os.sched_getaffinity(0))[-math.ceil(workload.cpus) :])
        return process
