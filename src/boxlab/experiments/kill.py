"""Which process does a container need? Each one around it is killed, on a second engine, and what stays alive is looked at."""

import json
from pathlib import Path
from typing import Unpack

from boxlab import images, records
from boxlab.errors import EngineError, NotReady
from boxlab.experiments import blocks
from boxlab.experiments.killing import ASK_S
from boxlab.language import _
from boxlab.second_engine import SecondEngine

PLAY = Path(__file__).with_name("killing.py").read_text(encoding="utf-8")
"""What runs in the second engine's container."""

ARMS = {
    "command": "docker run",
    "dockerd": "dockerd",
    "dockerd-live": "dockerd, live-restore",
    "containerd": "containerd",
    "shim": _("the shim"),
    "proxy": "docker-proxy",
    "program": _("the program"),
}

METRICS = {
    "seconds": {"unit": "s", "label": _("until the engine is at rest")},
    "program": {"unit": "1", "label": _("program")},
    "logs": {"unit": "1", "label": _("logs")},
    "localhost": {"unit": "1", "label": "localhost"},
    "address": {"unit": "1", "label": _("address")},
    "command": {"unit": "1", "label": "docker run"},
}

MEASURES = (
    "A container answers on a published port, started by a `docker run` that shows its output. t0: one process gets SIGKILL. "
    "t1: the engine answers, and either runs a command in the container or says that it has ended. "
    f"Whether the process has died, and then the engine by `docker inspect` and `docker exec`, is asked every {ASK_S} s: that wait, and "
    "what an answer takes, are in the time also where nothing has to recover. Then: program, the same process "
    "is alive; logs, `docker logs` has a line printed after t1; localhost and address, it answers on the published port at 127.0.0.1 "
    "and at the machine's own address; command, `docker run` is alive and shows that line. dockerd and containerd are started "
    "again as soon as they have died."
)


def kill(**options: Unpack[blocks.Options]) -> records.Record:
    """Kill each process around a container, on an engine of its own. Arguments as for `startup`.

    Raises:
        EngineError: the engine does not answer, or a second one does not come up.
    """
    image = images.ensure("base").tag
    with SecondEngine() as usual, SecondEngine(settings={"live-restore": True}) as live:
        engines = dict.fromkeys(ARMS, usual) | {"dockerd-live": live}
        for second in (usual, live):
            second.load(image)

        def measure(record: records.Record, sample: records.Sample) -> None:
            try:
                seen = engines[sample.arm].run("python3", "-c", PLAY, image, sample.arm.removesuffix("-live"))
            except EngineError as error:
                raise NotReady(str(error)) from error
            sample.values |= {name: float(value) for name, value in json.loads(seen).items()}

        return blocks.run(
            "kill",
            [
                {"kind": kind, "emulated": False, "phases": {}, "details": {"engine": second.version}}
                for kind, second in engines.items()
            ],
            measure,
            metrics=METRICS,
            measures=MEASURES,
            usual=lambda profile: profile.steady // 2,
            warm_up=0,
            **options,
        )
