"""A Docker Engine of the book's own, in a container: what is done to an engine (kill it, change its settings, prune) is done here.

The one way in the book to a second engine, on any host that runs containers. It is given capabilities one by one, not
`--privileged`, which grants more and which some machines refuse.
"""

import json
import tarfile
import time
from pathlib import Path
from typing import Any

from boxlab import engine, images, layers, rootfs
from boxlab.errors import EngineError
from boxlab.interrupts import deferred
from boxlab.language import _
from boxlab.runtimes.console import Console
from boxlab.runtimes.spawn import EngineContainer

READY_S = 180
"""How long it may take to answer, in seconds; only what hangs takes as long."""

RIGHTS: dict[str, Any] = {
    "cap_add": ["AUDIT_WRITE", "MKNOD", "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"],
    "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
    "cgroupns": "private",
}
"""What an engine needs that a container does not have: mounts, networks, devices and control groups of its own; and to enter the
namespaces of a process that is another user's, for `docker exec` and health checks there. Podman's containers also lack what
Docker's have: what an image's layer has removed is a device, and a container of it gets all that Docker's have."""

ALL_DEVICES = ["a *:* rwm"]
"""So that it can allow its own containers their devices. A rootless engine keeps no such rules, and rootless Podman refuses them."""

UNMASKED: dict[str, Any] = {"MaskedPaths": [], "ReadonlyPaths": []}
"""What the docker command sends for `--security-opt systempaths=unconfined`: an engine sets its kernel's network up in /proc/sys."""

UNMASKED_BY_PODMAN = "unmask=ALL"
"""The same, as a security option of Podman's, which does not look at those two."""


class SecondEngine:
    """An engine that runs, with nothing on it; gone with all that it runs at the end of its `with` block.

    Args:
        hostname: its name among others, such as the nodes of a swarm.
        network: the network of the outer engine that it is on.
        settings: of its daemon.json, beside the image's own.
        image: of the book's, one that has an engine.

    Attributes:
        api: version of its API, such as (1, 45).
        version: of the engine.

    Raises:
        EngineError: it does not come up, or the outer engine refuses.
    """

    def __init__(
        self,
        hostname: str = "",
        network: str = "bridge",
        settings: dict[str, Any] | None = None,
        image: str = "engine",
    ):
        built = images.ensure(image)
        command = [*built.command, json.dumps(settings)] if settings else None
        self._container: EngineContainer | None = None
        with engine.plain_errors():
            more = [UNMASKED_BY_PODMAN] if engine.is_podman() else []
            rights = RIGHTS | {"security_opt": RIGHTS["security_opt"] + more}
            if not engine.is_rootless():
                rights["device_cgroup_rules"] = ALL_DEVICES
        try:
            with deferred():
                self._container = EngineContainer(
                    built.tag, command, hostname=hostname, host=UNMASKED, init=True, network_mode=network, **rights
                )
            console = Console(self._container, {"ready": r"engine: ready (.*)"}, time.monotonic())
            api, self.version = console.wait_for("ready", READY_S).split()
            self.api = tuple(map(int, api.split(".")))
        except BaseException:  # Ctrl-C as well: nothing may stay
            self.stop()
            raise

    def docker(self, *words: str) -> str:
        """What `docker WORDS` prints, run beside this engine.

        Raises:
            EngineError: its exit status is not 0.
        """
        return self.run("docker", *words)

    def run(self, *command: str) -> str:
        """What a command prints that is run beside this engine, on either stream.

        Raises:
            EngineError: its exit status is not 0.
        """
        with engine.plain_errors():
            api = engine.connect().api
            call = api.exec_create(self._running.id, list(command))["Id"]
            printed: str = api.exec_start(call).decode(errors="replace")
            status = api.exec_inspect(call)["ExitCode"]
        if status:
            raise EngineError(
                _(
                    "`{command}` in the second engine: status {status}: {printed}",
                    command=" ".join(command),
                    status=status,
                    printed=printed.strip(),
                )
            )
        return printed

    def load(self, *tags: str) -> None:
        """Give it images that the outer engine has, as `docker save` and `docker load` do.

        Raises:
            EngineError: one is not there, or an engine refuses.
        """
        for tag in tags:
            with layers.saved(tag) as archive, engine.plain_errors():
                assert isinstance(archive.name, str)  # of the file that it lies in
                path, member = Path(archive.name), tarfile.TarInfo("image.tar")
                member.size = path.stat().st_size
                engine.connect().api.put_archive(self._running.id, "/tmp", rootfs.tar_of(member, path))
            loaded = self.docker("load", "--input", "/tmp/image.tar").split()
            self.run("rm", "/tmp/image.tar")
            for name in loaded:
                if (ours := images.short_name(name)) != name:
                    self.docker("tag", name, ours)

    def kill(self, signal: str = "KILL") -> None:
        """Send its daemon a signal, and wait until another answers in its place.

        Raises:
            EngineError: none does.
        """
        self.run(
            "sh",
            "-c",
            f"pkill -{signal} -x dockerd; timeout {READY_S} sh -c 'until docker version; do sleep 0.1; done'",
        )

    def address(self) -> str:
        """Its IP address on its network."""
        [network] = self._running.inspect()["NetworkSettings"]["Networks"].values()
        address: str = network["IPAddress"]
        return address

    @property
    def id(self) -> str:
        """Of its container."""
        ident: str = self._running.id
        return ident

    @property
    def _running(self) -> EngineContainer:
        assert self._container  # nobody asks it once it was stopped
        return self._container

    def stop(self) -> None:
        """End it and all that it runs. A second call does nothing."""
        with deferred():
            if self._container:
                self._container.stop(grace_s=0)
                self._container = None

    def __enter__(self) -> "SecondEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
