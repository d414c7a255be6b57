"""The layers around a process, one at a time: namespaces, a cgroup, an OCI runtime, containerd, the engine, its command."""

import json
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import docker.errors

from boxlab import engine, images, marks, paths, rootfs
from boxlab.errors import NotReady, Unavailable
from boxlab.interrupts import deferred
from boxlab.runtimes.box import Runtime, Workload
from boxlab.runtimes.console import Console
from boxlab.runtimes.process import Process
from boxlab.runtimes.spawn import HostProcess

NAMESPACES = {
    "uts": "--uts",
    "ipc": "--ipc",
    "mount": "--mount",
    "net": "--net",
    "cgroup": "--cgroup",
    "pid": "--pid --fork --kill-child",
}
"""Options of util-linux's unshare for each kind of namespace that a container gets."""

CGROUPS = Path("/sys/fs/cgroup")

GONE_S = 5
"""How long a killed process may take to leave its control group."""

TRIAL_S = 10
"""How long an OCI runtime may take to show that it works here."""

CONTAINERD_NAMESPACE = "boxlab"

CONTAINERD_SOCKETS = (Path("/run/containerd/containerd.sock"), Path("/var/run/docker/containerd/containerd.sock"))


class Namespaced(Process):
    """A plain process that also gets namespaces of its own; still no cgroup.

    Args:
        kinds: keys of `NAMESPACES`.
    """

    phases = {
        "exec": "fork, unshare: namespaces, root",
        "app": "interpreter",
        "ready": "imports, model, prediction",
    }

    def __init__(self, *kinds: str, kind: str, label: str):
        self._kinds, self.kind, self.label = kinds, kind, label

    def prepare(self, workload: Workload) -> None:
        super().prepare(workload)
        options = [option for kind in self._kinds for option in NAMESPACES[kind].split()]
        self._enter[1:1] = options
        tried = subprocess.run([*self._enter, "/bin/true"], capture_output=True, text=True)
        if tried.returncode:
            raise Unavailable(f"the kernel grants no such namespace here: {tried.stderr.strip()}", "run as root")

    def details(self) -> dict:
        return super().details() | {"namespaces": list(self._kinds)}


class Grouped(Namespaced):
    """All namespaces, and a control group of its own that holds it to its limits; its files still come by chroot."""

    phases = Namespaced.phases | {"exec": "fork, cgroup, unshare: namespaces, root"}

    def prepare(self, workload: Workload) -> None:
        if os.geteuid() != 0:
            raise Unavailable("only root may make a control group", "run as root")
        super().prepare(workload)
        try:
            _remove_groups(_control_group(marks.name(), workload))
        except OSError as error:
            raise Unavailable(
                f"no control group with limits can be made here: {error}",
                "with version 2: `echo +cpu +memory +pids > /sys/fs/cgroup/cgroup.subtree_control`",
            ) from error

    def details(self) -> dict:
        return super().details() | {"cgroup_version": 1 if _version_1() else 2}

    def _spawn(self, workload: Workload) -> HostProcess:
        name = marks.name()
        folders = _control_group(name, workload)
        joins = "; ".join(f"echo $$ > {shlex.quote(str(folder / 'cgroup.procs'))}" for folder in folders)
        command = ["sh", "-c", f'{joins}; exec "$@"', "sh", *self._enter, *self._image.command]
        return _Cleaned(command, self._image.environment, lambda: _remove_groups(folders))


class OCIRuntime(Process):
    """The tool that an engine calls to make a container, called by hand, with no engine.

    Args:
        tool: runc or crun.
    """

    phases = {
        "tool": "fork, exec",
        "exec": "runtime: namespaces, cgroup, mounts",
        "app": "interpreter",
        "ready": "imports, model, prediction",
    }

    def __init__(self, tool: str):
        self._tool, self.kind, self.label = tool, tool, f"{tool} alone"

    def prepare(self, workload: Workload) -> None:
        if os.geteuid() != 0:
            raise Unavailable(f"{self._tool} by hand is for root", "run as root")
        self._path = shutil.which(self._tool) or shutil.which(self._tool, path="/usr/sbin:/sbin")
        if not self._path:
            raise Unavailable(f"{self._tool} is not installed on this machine", f"`sudo apt-get install {self._tool}`")
        super().prepare(workload)
        with tempfile.TemporaryDirectory(dir=paths.scratch()) as folder:
            made = subprocess.run([self._path, "spec"], cwd=folder, capture_output=True, text=True)
            if made.returncode:
                raise Unavailable(f"{self._tool} writes no specification: {made.stderr.strip()}", "look at its version")
            self._specification = json.loads((Path(folder) / "config.json").read_text())
        memory = {"limit": workload.memory_mib << 20, "swap": workload.memory_mib << 20}
        quota = {"quota": int(workload.cpus * 100_000), "period": 100_000}
        self._specification["process"] |= {
            "terminal": False,
            "cwd": self._image.working_dir,
            "env": [f"{name}={value}" for name, value in self._image.environment.items()],
        }
        self._specification["root"] = {"path": str(rootfs.directory(self._image)), "readonly": True}
        self._specification["linux"]["resources"] |= {"memory": memory, "cpu": quota}
        trial = None
        try:
            with deferred():
                trial = self._run(["/bin/echo", "it runs"])
            Console(trial, {"runs": "it runs"}, time.monotonic()).wait_for("runs", TRIAL_S)
            trial.exit_reason()  # waits for its end: a signal would keep the tool from removing its control groups
        except NotReady as error:
            raise Unavailable(
                f"{self._tool} starts nothing here: {error}", f"{self._tool} says what it wants"
            ) from error
        finally:
            if trial:
                with deferred():
                    trial.stop()

    def details(self) -> dict:
        version = subprocess.run([self._path, "--version"], capture_output=True, text=True).stdout.splitlines()
        return {"version": version[0] if version else "unknown"}

    def _spawn(self, workload: Workload) -> HostProcess:
        return self._run(self._image.command)

    def _run(self, command: list[str]) -> HostProcess:
        """Let the tool run a command."""
        name = marks.name()
        folder = paths.scratch() / name
        folder.mkdir()
        specification = self._specification | {"process": self._specification["process"] | {"args": command}}
        (folder / "config.json").write_text(json.dumps(specification))

        def clean() -> None:
            # It mostly has ended by itself; on a busy machine the tool gives up on its groups early.
            subprocess.run([self._path, "delete", "--force", name], capture_output=True)
            shutil.rmtree(folder)
            _remove_groups([group for group in control_groups() if group.name == name])

        return _Cleaned([self._path, "run", "--bundle", str(folder), name], dict(os.environ), clean)


class Containerd(Process):
    """A container made by containerd, the service below the engine, by its own command."""

    kind = "containerd"
    label = "containerd"
    phases = {
        "tool": "fork, exec",
        "shim": "ctr, containerd: container, task",
        "runc": "shim",
        "exec": "runc: namespaces, cgroup, mounts",
        "app": "interpreter",
        "ready": "imports, model, prediction",
    }

    def prepare(self, workload: Workload) -> None:
        if not shutil.which("ctr"):
            raise Unavailable("containerd's command `ctr` is not installed", "it comes with containerd")
        sockets = [socket for socket in CONTAINERD_SOCKETS if socket.exists() and os.access(socket, os.W_OK)]
        if not sockets:
            raise Unavailable(
                "containerd has no socket here that we may use", "run as root, with Docker on this machine"
            )
        super().prepare(workload)
        self._ctr = ["ctr", "--address", str(sockets[0]), "--namespace", CONTAINERD_NAMESPACE]

    def _spawn(self, workload: Workload) -> HostProcess:
        name = marks.name()
        environment = [f"--env={key}={value}" for key, value in self._image.environment.items()]
        limit = [f"--memory-limit={workload.memory_mib << 20}", f"--cpus={workload.cpus:g}", f"--cgroup=/{name}"]
        root = ["--rootfs", str(rootfs.directory(self._image))]
        command = [*self._ctr, "run", "--rm", f"--cwd={self._image.working_dir}", *environment, *limit, *root, name]

        def clean() -> None:
            for what in ("task", "container"):
                force = ["--force"] if what == "task" else []
                subprocess.run([*self._ctr, what, "delete", *force, name], capture_output=True)
            subprocess.run([*self._ctr, "namespaces", "remove", CONTAINERD_NAMESPACE], capture_output=True)

        return _Cleaned([*command, *self._image.command], dict(os.environ), clean)


class Command(Runtime):
    """The container as most people start it: by the engine's command."""

    kind = "cli"
    label = "docker run"
    phases = {
        "tool": "fork, exec",
        "shim": "command, engine: create, attach, mount",
        "runc": "shim",
        "hook": "runc: namespaces, cgroup, mounts",
        "exec": "engine: network",
        "app": "interpreter",
        "ready": "imports, model, prediction",
    }

    def prepare(self, workload: Workload) -> None:
        if not shutil.which("docker"):
            raise Unavailable("the docker command is not installed", "install Docker's command line")
        self._image = images.ensure(workload.image)

    def command(self, workload: Workload, *options: str) -> list[str]:
        """The line that starts the container, with our labels and the workload's limits, and `options` before the image."""
        labels = [f"--label={name}={value}" for name, value in engine.labels().items()]
        memory = f"{workload.memory_mib}m"
        limits = [f"--cpus={workload.cpus:g}", f"--memory={memory}", f"--memory-swap={memory}", "--network=none"]
        return ["docker", "run", "--rm", *labels, *limits, *options, self._image.tag]

    def _spawn(self, workload: Workload) -> HostProcess:
        name = marks.name()

        def clean() -> None:
            """The command may have been killed between the container's creation and its start."""
            with engine.plain_errors():
                try:
                    engine.connect().api.remove_container(name, force=True)
                except docker.errors.APIError as error:
                    if error.status_code not in (404, 409):  # gone, or going
                        raise

        return _Cleaned(self.command(workload, "--interactive", f"--name={name}"), dict(os.environ), clean)


class _Cleaned(HostProcess):
    """A process of this host that leaves something behind, and a way to remove it."""

    def __init__(self, argv: list[str], environment: dict[str, str], clean: Callable[[], None]):
        self._clean = clean
        super().__init__(argv, environment)

    def stop(self, grace_s: float | None = None) -> None:
        super().stop(grace_s)
        self._clean()


def _version_1() -> bool:
    return (CGROUPS / "memory").is_dir()


def _control_group(name: str, workload: Workload) -> list[Path]:
    """A new control group with the workload's limits: its folder, or with version 1 one folder a controller."""
    memory, quota, period = workload.memory_mib << 20, int(workload.cpus * 100_000), 100_000
    if _version_1():
        folders = [CGROUPS / controller / name for controller in ("memory", "cpu", "pids")]
        limits = {"memory/memory.limit_in_bytes": memory, "cpu/cpu.cfs_quota_us": quota, "pids/pids.max": 1024}
        settings = {CGROUPS / file.replace("/", f"/{name}/"): value for file, value in limits.items()}
    else:
        folders = [CGROUPS / name]
        limits = {"memory.max": memory, "cpu.max": f"{quota} {period}", "pids.max": 1024}
        settings = {folders[0] / file: value for file, value in limits.items()}
    try:
        for folder in folders:
            folder.mkdir()
        for file, value in settings.items():
            file.write_text(str(value))
    except OSError:
        _remove_groups([folder for folder in folders if folder.exists()])
        raise
    return folders


def _remove_groups(folders: list[Path]) -> None:
    """Remove control groups, once their last process is gone: it may outlive its parent for a moment."""
    for folder in folders:
        deadline = time.monotonic() + GONE_S
        while folder.joinpath("cgroup.procs").read_text() and time.monotonic() < deadline:
            time.sleep(0.002)
        folder.rmdir()


def control_groups() -> list[Path]:
    """The control groups of ours that exist now."""
    return sorted([*CGROUPS.glob(f"{marks.prefix()}*"), *CGROUPS.glob(f"*/{marks.prefix()}*")])
