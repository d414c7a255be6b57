"""What does each layer around a process cost? From fork and exec to `docker run`, one layer at a time."""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Unpack

from boxlab import records
from boxlab.experiments import blocks
from boxlab.experiments.startup import MEASURES, METRICS, timed_start
from boxlab.language import _
from boxlab.runtimes import Container, Process, Runtime, Workload, kernel_events
from boxlab.runtimes.box import INSIDE
from boxlab.runtimes.onion import NAMESPACES, Command, Containerd, Grouped, Namespaced, OCIRuntime

BEGIN = {
    "tool": r"^(\S*/)?(docker run|ctr |runc run|crun run)",
    "shim": r"^(\S*/)?containerd-shim",
    "runc": r"^(\S*/)?(runc|crun) .*create",
    "hook": r"^libnetwork-setkey",
    "start": r"^(\S*/)?(runc|crun) .*start",
    "exec": r"^(\S*/)?python3 app\.py",
}
"""Mark -> command line of the program whose first beginning ends that phase, as the kernel reports it."""

END = {"made": BEGIN["runc"]}
"""The same for those phases that a program's end ends."""

ENGINE_PHASES = {
    "created": "create",
    "attached": "attach",
    "shim": "task",
    "runc": "shim",
    "hook": "runc",
    "exec": "network",
} | INSIDE


def _as_this_engine_has_them(runtime: Runtime, workload: Workload) -> dict[str, str]:
    """The phases of a container of the engine, by one start: old engines are called back by runc and make the network then
    (the hook), newer ones make it themselves between runc's two commands."""
    with kernel_events.watch() as events, runtime.start(workload) as box:
        t0, seen = box.console.t0, box.observe()
    if events.lost or events.began(BEGIN["hook"], t0, seen):
        return runtime.phases
    changed = {"hook": {"made": runtime.phases["hook"], "start": "network"}, "exec": {"exec": "runc-start"}}
    return {m: text for mark, label in runtime.phases.items() for m, text in changed.get(mark, {mark: label}).items()}


class _EngineLayer(Container):
    """A container of the engine, with phases down to what the kernel reports."""

    phases = ENGINE_PHASES

    def __init__(self, network: str):
        super().__init__(network, kind=f"engine-{network}", label=_("engine, network {network}", network=network))
        if network == "host":  # no network is made, so the engine is not asked back for one
            self.phases = {
                mark: ENGINE_PHASES["hook"] if mark == "exec" else text
                for mark, text in ENGINE_PHASES.items()
                if mark != "hook"
            }


def layers() -> list[Runtime]:
    """Every layer, from the inside out."""
    every = tuple(NAMESPACES)
    found: list[Runtime] = [Process()]
    found += [Namespaced(kind, kind=f"ns-{kind}", label=_("+ {kind} namespace", kind=kind)) for kind in every]
    found += [
        Namespaced(*every, kind="namespaces", label=_("+ all namespaces")),
        Grouped(*every, kind="cgroup", label=_("+ cgroup")),
        OCIRuntime("crun"),
        OCIRuntime("runc"),
        Containerd(),
    ]
    return [*found, *map(_EngineLayer, ("host", "none", "bridge")), Command()]


ARMS = {layer.kind: layer.label for layer in layers()}


def onion(
    arms: Iterable[Runtime] | None = None,
    *,
    workload: Workload = Workload(),
    **options: Unpack[blocks.Options],
) -> records.Record:
    """Start the same program with ever more around it, and note which program began when.

    Arguments and errors as for `startup`; by default every layer that this machine has.
    """
    ready, left_out = blocks.prepared(layers() if arms is None else arms, workload)
    refusal = kernel_events.refusal()
    for runtime in ready.values():
        if "hook" in runtime.phases and not refusal:
            runtime.phases = _as_this_engine_has_them(runtime, workload)

    def measure(record: records.Record, sample: records.Sample) -> None:
        runtime = ready[sample.arm]
        with nullcontext() if refusal else kernel_events.watch() as events:
            t0, seen = timed_start(record, sample, runtime, workload)
        if events:
            for look, patterns in ((events.began, BEGIN), (events.ended, END)):
                found = {mark: look(pattern, t0, seen) for mark, pattern in patterns.items() if mark in runtime.phases}
                sample.marks |= {mark: at - t0 for mark, at in found.items() if at}

    return blocks.run(
        "onion",
        [blocks.plan_of(runtime) for runtime in ready.values()],
        measure,
        metrics=METRICS,
        measures=MEASURES
        + (
            f" Without the kernel's events: {refusal}."
            if refusal
            else " Programs' beginnings by the kernel's process events."
        ),
        left_out=left_out,
        workload=workload,
        **options,
    )
