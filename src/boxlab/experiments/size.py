"""How much disk does each box take, and what must travel to get it there?"""

import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from boxlab import engine, images, layers, paths, records
from boxlab.experiments import blocks
from boxlab.interrupts import deferred
from boxlab.language import _
from boxlab.runtimes import Container, MicroVM, Runtime, Workload, qemu
from boxlab.runtimes.console import Console
from boxlab.runtimes.spawn import EngineContainer

MANY = 10
MANY_KIND = f"{Container.kind}-x{MANY}"

BLOCK = 512
"""Bytes of the blocks in which st_blocks counts (POSIX leaves it open; Linux and macOS agree)."""

COUNT_S = 300
"""How long a container may take to count an image's files."""

METRICS: dict[str, dict[str, Any]] = {
    "total": {"unit": "B", "label": _("on disk, in all")},
    "base_files": {"unit": "B", "label": _("files shared with other images")},
    "own_files": {"unit": "B", "label": _("files of its own")},
    "packed": {"unit": "B", "label": _("image, as it came, compressed")},
    "writable": {"unit": "B", "label": _("written while running")},
    "kernel": {"unit": "B", "label": _("kernel")},
    "kernel_packed": {"unit": "B", "label": _("kernel, compressed")},
    "disk": {"unit": "B", "label": _("disk, allocated")},
    "apparent": {"unit": "B", "label": _("disk, apparent")},
    "transfer": {"unit": "B", "label": _("to transfer, compressed")},
    "transfer_next": {"unit": "B", "label": _("to transfer where the base is there")},
    # which counted an image by its archives
    "image": {"unit": "B", "label": _("image, all layers, as archives"), "old": True},
    "shared": {"unit": "B", "label": _("layers shared with other images"), "old": True},
    "own": {"unit": "B", "label": _("layers of its own"), "old": True},
}

PARTS = ("base_files", "own_files", "packed", "kernel", "disk", "writable")
"""What adds up to the total."""

ARMS = {MANY_KIND: _("{count} containers", count=MANY)}

MEASURES = (
    "Everything on disk by allocated blocks. Container: the image's files as `du` counts them inside one, and the compressed "
    "layers as well where the engine keeps them beside the files; what running instances have written by the engine's own "
    "count. Virtual machine: kernel and disk by the blocks of their files; no initial RAM disk is needed; what a microVM has written, "
    "by the blocks of QEMU's temporary file, where those can be seen. A full one isn't booted for that, and its total is without it. To transfer: gzip, level 6, as a registry stores a layer."
)


def size(
    arms: Iterable[str | Runtime] = ("container", "microvm", "full-vm"), **options: Unpack[blocks.Options]
) -> records.Record:
    """Disk taken by the workload as one container, as ten, and as each kind of virtual machine.

    Sizes do not vary from one time to the next: one round by default. Arguments and errors as for `startup`.
    """
    workload = Workload()
    ready, left_out = blocks.prepared(arms, workload, _refusal)
    transfer = _transfers(ready, workload)
    measured: dict[str, Callable[[], dict[str, Any]]] = {}
    plans = []
    for kind, runtime in ready.items():
        plan = blocks.plan_of(runtime)
        plans.append(plan)
        if isinstance(runtime, MicroVM):
            measured[kind] = partial(_machine, runtime, workload)
        else:
            many = MANY_KIND
            plans.append(plan | {"kind": many})
            measured[kind] = partial(_containers, runtime, workload, 1)
            measured[many] = partial(_containers, runtime, workload, MANY)

    def measure(record: records.Record, sample: records.Sample) -> None:
        values = measured[sample.arm]() | transfer[sample.arm.partition("-x")[0]]
        sample.values |= {"total": sum(values.get(part, 0) for part in PARTS)} | values

    return blocks.run(
        "size",
        plans,
        measure,
        metrics=METRICS,
        measures=MEASURES,
        left_out=left_out,
        workload=workload,
        usual=lambda profile: 1,
        warm_up=0,
        **options,
    )


def _refusal(runtime: Runtime) -> str:
    return "" if isinstance(runtime, Container | MicroVM) else _("it runs from files that an image brought")


def _transfers(ready: dict[str, Runtime], workload: Workload) -> dict[str, dict[str, Any]]:
    """What depends on compression, for every kind, side by side: it is what takes long here."""

    def container() -> dict[str, Any]:
        tag, base = images.ensure(workload.image).tag, images.ensure("base")
        own = layers.layers(tag)
        beneath = _files(base.tag)
        kept = {"packed": sum(layer.stored for layer in own)} if engine.keeps_packed() else {}
        return kept | {
            "base_files": beneath,
            "own_files": _files(tag) - beneath,
            "transfer": sum(layer.compressed for layer in own),
            "transfer_next": sum(layer.compressed for layer in own if layer.id not in base.layers),
        }

    def machine(runtime: MicroVM) -> dict[str, Any]:
        guest = runtime.guest
        kernel = layers.compressed_size(guest.kernel.path)
        return {"kernel_packed": kernel, "transfer": kernel + layers.compressed_size(guest.disk.path)}

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        jobs = {
            kind: threads.submit(machine, runtime) if isinstance(runtime, MicroVM) else threads.submit(container)
            for kind, runtime in ready.items()
        }
        return {kind: job.result() for kind, job in jobs.items()}


def _files(tag: str) -> int:
    """Allocated blocks of an image's files in bytes: a container of it counts them, so it is the same on every engine.

    Raises:
        NotReady: it did not count.
    """
    count = ["du", "--summarize", "--one-file-system", "--block-size=1", "/"]
    counter = None
    try:
        with deferred():
            counter = EngineContainer(tag, count, network_mode="none")
        return int(Console(counter, {"files": r"^(\d+)\s"}, time.monotonic()).wait_for("files", COUNT_S))
    finally:
        if counter:
            counter.stop(grace_s=0)


def _containers(runtime: Runtime, workload: Workload, count: int) -> dict[str, Any]:
    """What `count` running containers have written, by the engine's count."""
    with ExitStack() as stack:
        boxes = [stack.enter_context(runtime.start(workload)) for _ in range(count)]
        for box in boxes:
            box.observe()
        ids = [box.spawned.id for box in boxes]
        with engine.plain_errors():
            listed = engine.connect().api.containers(filters={"id": ids}, size=True)
        return {"writable": sum(container.get("SizeRw", 0) for container in listed)}


def _machine(runtime: MicroVM, workload: Workload) -> dict[str, Any]:
    """The files of a virtual machine, and where it can be seen what a running one has written."""
    guest = runtime.guest
    values = {
        "kernel": guest.kernel.path.stat().st_blocks * BLOCK,
        "disk": guest.disk.path.stat().st_blocks * BLOCK,
        "apparent": guest.disk.path.stat().st_size,
    }
    readable = sys.platform == "linux" and not qemu.in_container()
    if not readable or type(runtime) is not MicroVM:  # a full VM boots for long, and shows nothing else
        return values
    with runtime.start(workload) as box:
        box.observe()
        values["writable"] = sum(map(_unlinked, box.spawned.pids()))
    return values


def _unlinked(pid: int) -> int:
    """Bytes allocated to files of ours that a process has open and that have no name any more."""
    files = [path for path in Path(f"/proc/{pid}/fd").iterdir() if str(paths.SCRATCH) in os.readlink(path)]
    return sum(file.stat().st_blocks * BLOCK for file in files)
