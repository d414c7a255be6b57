"""A container of the Docker Engine."""

from boxlab import images
from boxlab.runtimes.box import Runtime, Workload
from boxlab.runtimes.spawn import EngineContainer


class Container(Runtime):
    """The workload in a container, started through the engine's API.

    Args:
        network: the engine's network mode. "none" by default, as no other box has a network of its own either.
    """

    kind = "container"
    label = "container"
    phases = {
        "created": "engine: create",
        "attached": "engine: attach",
        "started": "engine: mount, runc, namespaces",
        "app": "interpreter",
        "ready": "imports, model, prediction",
    }

    def __init__(self, network: str = "none"):
        self.network = network

    def prepare(self, workload: Workload) -> None:
        self._image = images.ensure(workload.image)

    def details(self) -> dict:
        return {"network": self.network}

    def _spawn(self, workload: Workload) -> EngineContainer:
        memory = workload.memory_mib << 20
        return EngineContainer(
            self._image.tag,
            network_mode=self.network,
            nano_cpus=workload.cpus * 10**9,
            mem_limit=memory,
            memswap_limit=memory,
        )
