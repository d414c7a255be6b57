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
from typing import Any

import docker.errors

from boxlab import cgroups, engine, images, marks, paths, rootfs
from boxlab.errors import BoxlabError, NotReady, Unavailable
from boxlab.interrupts import deferred
from boxlab.language import _
from boxlab.runtimes.box import INSIDE, Runtime, Workload
from boxlab.runtimes.console import Console
from boxlab.runtimes.process import Process
from boxlab.runtimes.spawn import EngineContainer, HostProcess

NAMESPACES = {
    "uts": "--uts",
    "ipc": "--ipc",
    "mount": "--mount",
    "net": "--net",
    "cgroup": "--cgroup",
    "pid": "--pid --fork --kill-child",
}
"""Options of util-linux's unshare for each kind of namespace that a container gets."""

PROCESSES = 1024
"""How many a control group made by hand may hold."""

TRIAL_S = 60
"""How long an OCI runtime may take to show that it works here."""

CONTAINERD_NAMESPACE = "boxlab"

CONTAINERD_SOCKETS = (Path("/run/containerd/containerd.sock"), Path("/var/run/docker/containerd/containerd.sock"))


class _Cleaned(HostProcess):
    """A process of this host that may leave something behind, and a way to remove that.

    Args:
        clean: called once it has ended; what it takes counts as nobody's time.
        id: by which the programs that serve it know it.
    """

    def __init__(self, argv: list[str], environment: dict[str, str], clean: Callable[[], None], id: str = ""):
        self._clean = clean
        if id:
            self.id = id
        try:
            super().__init__(argv, environment)
        except BaseException:
            clean()
            raise

    def stop(self, grace_s: float | None = None) -> None:
        super().stop(grace_s)
        self._clean()


class Namespaced(Process):
    """A plain process that also gets namespaces of its own; still no cgroup.

    Args:
        kinds: keys of `NAMESPACES`.
    """

    phases = {"exec": "unshare"} | INSIDE

    def __init__(self, *kinds: str, kind: str, label: str):
        self._kinds, self.kind, self.label = kinds, kind, label

    def prepare(self, workload: Workload) -> None:
        super().prepare(workload)
        options = [option for kind in self._kinds for option in NAMESPACES[kind].split()]
        self._enter[1:1] = options
        tried = subprocess.run([*self._enter, "/bin/true"], capture_output=True, text=True)
        if tried.returncode:
            raise Unavailable(
                _("the kernel grants no such namespace here: {why}", why=tried.stderr.strip()), _("run as root")
            )

    def details(self) -> dict[str, Any]:
        return super().details() | {"namespaces": list(self._kinds)}


class Grouped(Namespaced):
    """All namespaces, and a control group of its own that holds it to its limits; its files still come by chroot."""

    phases = Namespaced.phases | {"exec": "cgroup"}

    def prepare(self, workload: Workload) -> None:
        if os.geteuid() != 0:
            raise Unavailable(_("only root may make a control group"), _("run as root"))
        super().prepare(workload)
        try:
            self._group(workload).remove()
        except OSError as error:
            raise Unavailable(
                _("no control group with limits can be made here: {why}", why=error),
                _("with version 2: `echo +cpu +memory +pids > /sys/fs/cgroup/cgroup.subtree_control`"),
            ) from error

    def details(self) -> dict[str, Any]:
        return super().details() | {"cgroup_version": cgroups.version()}

    def _group(self, workload: Workload) -> cgroups.Group:
        memory_bytes = workload.memory_mib << 20
        return cgroups.make(marks.name(), memory_bytes=memory_bytes, cpus=workload.cpus, processes=PROCESSES)

    def _spawn(self, workload: Workload) -> HostProcess:
        group = self._group(workload)
        joins = "; ".join(f"echo $$ > {shlex.quote(str(folder / 'cgroup.procs'))}" for folder in group.folders)
        command = ["sh", "-c", f'{joins}; exec "$@"', "sh", *self._enter, *self._image.command]
        return _Cleaned(command, self._image.environment, group.remove)


class OCIRuntime(Process):
    """The tool that an engine calls to make a container, called by hand, with no engine.

    Args:
        tool: runc or crun.
    """

    phases = {
        "tool": "fork-exec",
        "exec": "runtime",
    } | INSIDE

    def __init__(self, tool: str):
        self._tool, self.kind, self.label = tool, tool, _("{tool} alone", tool=tool)

    def prepare(self, workload: Workload) -> None:
        if os.geteuid() != 0:
            raise Unavailable(_("{tool} by hand is for root", tool=self._tool), _("run as root"))
        path = shutil.which(self._tool) or shutil.which(self._tool, path="/usr/sbin:/sbin")
        if not path:
            raise Unavailable(
                _("{tool} is not installed on this machine", tool=self._tool), f"`sudo apt-get install {self._tool}`"
            )
        self._path = path
        super().prepare(workload)
        with tempfile.TemporaryDirectory(dir=paths.scratch(), prefix=f"onion-{marks.RUN}-") as folder:
            made = subprocess.run([self._path, "spec"], cwd=folder, capture_output=True, text=True)
            if made.returncode:
                raise Unavailable(
                    _("{tool} writes no specification: {why}", tool=self._tool, why=made.stderr.strip()),
                    _("look at its version"),
                )
            self._specification = json.loads((Path(folder) / "config.json").read_text())
        version = subprocess.run([self._path, "--version"], capture_output=True, text=True).stdout.splitlines()
        self._version = version[0] if version else "unknown"
        memory = {"limit": workload.memory_mib << 20, "swap": workload.memory_mib << 20}
        quota = {"quota": int(workload.cpus * 100_000), "period": 100_000}
        self._specification["process"] |= {
            "terminal": False,
            "cwd": self._image.working_dir,
            "env": [f"{name}={value}" for name, value in (self._image.environment | marks.environment()).items()],
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
                _("{tool} starts nothing here: {why}", tool=self._tool, why=error),
                _("{tool} says what it wants", tool=self._tool),
            ) from error
        finally:
            if trial:
                with deferred():
                    trial.stop()

    def details(self) -> dict[str, Any]:
        return {"version": self._version}

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
            cgroups.found(name).remove(kill=True)

        return _Cleaned([self._path, "run", "--bundle", str(folder), name], dict(os.environ), clean, name)


class Containerd(Process):
    """A container made by containerd, the service below the engine, by its own command."""

    kind = "containerd"
    label = "containerd"
    phases = {
        "tool": "fork-exec",
        "shim": "ctr",
        "runc": "shim",
        "exec": "runc",
    } | INSIDE

    def prepare(self, workload: Workload) -> None:
        if not shutil.which("ctr"):
            raise Unavailable(_("containerd's command `ctr` is not installed"), _("it comes with containerd"))
        super().prepare(workload)
        self._ctr = [
            "ctr",
            "--address",
            str(_containerd_of_the_engine(self._image)),
            "--namespace",
            CONTAINERD_NAMESPACE,
        ]

    def _spawn(self, workload: Workload) -> HostProcess:
        name = marks.name()
        environment = [f"--env={key}={value}" for key, value in (self._image.environment | marks.environment()).items()]
        limit = [f"--memory-limit={workload.memory_mib << 20}", f"--cpus={workload.cpus:g}", f"--cgroup=/{name}"]
        root = ["--read-only", "--rootfs", str(rootfs.directory(self._image))]
        command = [*self._ctr, "run", "--rm", f"--cwd={self._image.working_dir}", *environment, *limit, *root, name]

        def clean() -> None:
            """All that may be left where the command or the service was killed in the middle."""
            subprocess.run([*self._ctr, "task", "delete", "--force", name], capture_output=True)
            subprocess.run([*self._ctr, "container", "delete", name], capture_output=True)
            cgroups.found(name).remove(kill=True)
            left = subprocess.run([*self._ctr, "container", "list", "--quiet"], capture_output=True, text=True)
            if name in left.stdout.split():
                raise BoxlabError(
                    _("containerd does not remove its container {name}", name=name),
                    shlex.join([*self._ctr, "container", "delete", name]),
                )
            subprocess.run([*self._ctr, "namespaces", "remove", CONTAINERD_NAMESPACE], capture_output=True)  # if empty

        return _OfContainerd([*command, *self._image.command], dict(os.environ), clean, name)


class _OfContainerd(_Cleaned):
    """A command that stands for a container whose processes are not its children."""

    def pids(self) -> list[int]:
        return super().pids() + cgroups.found(self.id).members()


def _containerd_of_the_engine(image: images.Built) -> Path:
    """The socket of the containerd that our engine uses: the one that knows a container of that engine's.

    Raises:
        Unavailable: none that we can reach does.
    """
    if not engine.is_local():
        raise Unavailable(_("the engine's containerd is on another machine"), _("leave it out"))
    with engine.plain_errors():
        said = engine.connect().info().get("Containerd") or {}
    namespace = said.get("Namespaces", {}).get("Containers") or "moby"
    sockets = dict.fromkeys([*([Path(said["Address"])] if said.get("Address") else []), *CONTAINERD_SOCKETS])
    probe = None
    try:
        with deferred():
            probe = EngineContainer(image.tag, network_mode="none")
        for socket in sockets:
            if socket.exists() and os.access(socket, os.W_OK):
                ask = ["ctr", "--address", str(socket), "--namespace", namespace, "container", "info", probe.id]
                if subprocess.run(ask, capture_output=True).returncode == 0:
                    return socket
    finally:
        if probe:
            probe.stop(grace_s=0)
    raise Unavailable(
        _("no containerd that we can reach knows the containers of the engine at {address}", address=engine.host()),
        _("run as root, with an engine of this machine that is not rootless and not in a root of its own"),
    )


class Command(Runtime):
    """The container as most people start it: by the engine's command."""

    kind = "cli"
    label = "docker run"
    phases = {
        "tool": "fork-exec",
        "shim": "command",
        "runc": "shim",
        "hook": "runc",
        "exec": "network",
    } | INSIDE

    def prepare(self, workload: Workload) -> None:
        if not shutil.which("docker"):
            raise Unavailable(_("the docker command is not installed"), _("install Docker's command line"))
        self._image = images.ensure(workload.image)

    def command(self, workload: Workload, *options: str) -> tuple[list[str], dict[str, str]]:
        """What starts the container, as words and environment: with our labels, the workload's limits, and `options`."""
        labels = [f"--label={name}={value}" for name, value in engine.labels().items()]
        memory = f"{workload.memory_mib}m"
        limits = [f"--cpus={workload.cpus:g}", f"--memory={memory}", f"--memory-swap={memory}", "--network=none"]
        return engine.docker_call("run", "--rm", *labels, *limits, *options, self._image.tag)

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

        return _OfEngine(*self.command(workload, "--interactive", f"--name={name}"), clean, name)


class _OfEngine(_Cleaned):
    """A command that stands for a container of the engine, which it calls by an id of its own."""

    def __init__(self, argv: list[str], environment: dict[str, str], clean: Callable[[], None], name: str):
        super().__init__(argv, environment, clean)
        self._name = name

    @property
    def id(self) -> str:  # type: ignore[override]  # asked when it is wanted, as there is none before it runs
        return str(self._inspected()["Id"])

    def pids(self) -> list[int]:
        return [*super().pids(), self._inspected()["State"]["Pid"]]

    def _inspected(self) -> dict[str, Any]:
        with engine.plain_errors():
            found: dict[str, Any] = engine.connect().api.inspect_container(self._name)
        return found
