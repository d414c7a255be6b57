"""A container of the Docker Engine."""

from typing import Any

from boxlab import engine, images, labels
from boxlab.errors import EngineError, Unavailable
from boxlab.interrupts import deferred
from boxlab.language import _
from boxlab.runtimes.box import INSIDE, Runtime, Workload
from boxlab.runtimes.spawn import EngineContainer


class Container(Runtime):
    """The workload in a container, started through the engine's API.

    Args:
        network: the engine's network mode. "none" by default, as no other box has a network of its own either.
        oci_runtime: what the engine calls to make the container, by the name that it knows it under; its default if None.
        pids: how many processes it may have at once; no limit if None.
        kind, label: how it is called, where there are several in one experiment.
    """

    kind = "container"
    label = labels.BOXES[kind]
    phases = {
        "created": "create",
        "attached": "attach",
        "started": "start",
    } | INSIDE

    def __init__(
        self,
        network: str = "none",
        oci_runtime: str | None = None,
        pids: int | None = None,
        kind: str = kind,
        label: str = label,
    ):
        self.network, self.oci_runtime, self.pids, self.kind, self.label = network, oci_runtime, pids, kind, label

    def prepare(self, workload: Workload) -> None:
        self._image = images.ensure(workload.image)
        if self.oci_runtime:
            self._try(workload)

    def _try(self, workload: Workload) -> None:
        """Start a container by the chosen runtime once: one that the engine knows may still not run here.

        Raises:
            Unavailable: the engine does not know it, or it does not run.
        """
        with engine.plain_errors():
            known = engine.connect().info().get("Runtimes", {})
        if self.oci_runtime not in known:
            raise Unavailable(
                _(
                    "the engine knows no runtime {name!r}; it knows {known}",
                    name=self.oci_runtime,
                    known=", ".join(known),
                ),
                _("install it, and tell the engine of it: `runtimes` in /etc/docker/daemon.json"),
            )
        try:
            with deferred():
                self._spawn(workload).stop(grace_s=0)
        except EngineError as error:
            raise Unavailable(
                _("{runtime} does not start a container here: {why}", runtime=self.oci_runtime, why=error)
            ) from error

    def details(self) -> dict[str, Any]:
        return {"network": self.network, "oci_runtime": self.oci_runtime, "pids": self.pids}

    def _spawn(self, workload: Workload) -> EngineContainer:
        memory = workload.memory_mib << 20
        return EngineContainer(
            self._image.tag,
            network_mode=self.network,
            nano_cpus=round(workload.cpus * 10**9),
            mem_limit=memory,
            memswap_limit=memory,
            runtime=self.oci_runtime,
            pids_limit=self.pids,
        )
