"""Run a few containers of one program, which share a file, and read what they take: what lab 07 predicts from."""

import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from boxlab import engine, images, meter, progress
from boxlab.errors import BoxlabError
from boxlab.experiments import engine_figure
from boxlab.interrupts import deferred
from boxlab.language import _
from boxlab.runtimes import Box
from boxlab.runtimes.console import Console
from boxlab.runtimes.spawn import EngineContainer

MIB = 1 << 20

VERSION = 1
"""Of the form in which `boxlab readings` prints them."""

PROGRAM = """
import mmap, sys
own, mapped = (int(size) << 20 for size in sys.argv[1:])
data = b"x" * own
with open("/shared/weights", "a+b") as file:
    if not file.tell():
        for _ in range(mapped >> 20):
            file.write(b"w" * (1 << 20))
        file.flush()
    weights = mmap.mmap(file.fileno(), mapped, prot=mmap.PROT_READ)
for page in range(0, mapped, 4096):
    weights[page]
print("holds its memory", flush=True)
sys.stdin.read()
"""

SPARE_MIB = 512
"""What the machine must have free beside what the containers are to take."""

OVERHEAD_MIB = 32
"""What a container takes at most beside its data: an interpreter and its shim."""

READY_S = 60


def take(counts: Iterable[int], own_mib: int, shared_mib: int) -> list[dict[str, Any]]:
    """Run these numbers of containers, one number after the other, and read what they take. All sizes are bytes.

    Args:
        own_mib: what each container fills with data of its own.
        shared_mib: how much it maps of a file that all of them share.

    Returns:
        For each number, in that order, a reading:
        containers: how many ran.
        processes: of each process that runs for their sake its name, role (application, shim), rss, pss and uss.
        docker_stats: of each container what `docker stats` shows.
        available_before, available: what the machine could still give out before any of them ran, and now.

    Raises:
        BoxlabError: the machine is too full, a container does not start, or the engine is in the way.
    """
    counts, image = list(counts), images.ensure("base").tag
    readings: list[dict[str, Any]] = []
    running: list[Box] = []
    with meter.open_meter() as gauge, ExitStack() as stack, progress.bar(_("containers"), total=len(counts)) as bar:
        before = gauge.read().available
        needed = max(counts, default=0) * (own_mib + OVERHEAD_MIB) + shared_mib + SPARE_MIB
        if before < needed * MIB:
            raise BoxlabError(
                _("{free} MiB of memory are free, and {wanted} are wanted", free=before // MIB, wanted=needed),
                _("close something"),
            )
        shared = stack.enter_context(_volume())
        stack.callback(_stop_all, running)
        for count in counts:
            while len(running) > count:
                running.pop().stop()
            while len(running) < count:
                _start(running, image, shared, own_mib, shared_mib)
            reading = gauge.read(*running)
            readings.append(
                {
                    "containers": count,
                    "processes": [
                        {key: process[key] for key in ("name", "role", "rss", "pss", "uss")}
                        for process in reading.processes
                    ],
                    "docker_stats": [engine_figure(cgroup) for cgroup in reading.cgroups],
                    "available_before": before,
                    "available": reading.available,
                }
            )
            bar.update()
    return readings


@contextmanager
def _volume() -> Iterator[str]:
    """A place for the file that our containers share, and no others; gone afterwards."""
    made = None
    try:
        with deferred(), engine.plain_errors():  # or Ctrl-C might strike when it exists and we do not know of it yet
            name = f"containers-measured-{secrets.token_hex(6)}"
            made = engine.connect().volumes.create(name, labels=engine.labels())
        yield made.name
    finally:
        if made:
            with deferred(), engine.plain_errors():
                made.remove()


def _start(running: list[Box], image: str, shared: str, own_mib: int, shared_mib: int) -> None:
    """Add to `running` a container that holds its memory."""
    command = ["python3", "-c", PROGRAM, str(own_mib), str(shared_mib)]
    limits: dict[str, Any] = {
        "network_mode": "none",
        "mem_limit": (own_mib + shared_mib + SPARE_MIB) * MIB,
        "pids_limit": 64,
    }
    with deferred():
        spawned = EngineContainer(image, command, binds=[f"{shared}:/shared"], **limits)
        console = Console(spawned, {"ready": "holds its memory"}, time.monotonic())
        running.append(Box("container", console, spawned, {}, ""))
    running[-1].console.wait_for("ready", READY_S)


def _stop_all(running: list[Box]) -> None:
    with ExitStack() as stack:  # one that fails does not keep the others
        while running:
            stack.callback(running.pop().stop)
