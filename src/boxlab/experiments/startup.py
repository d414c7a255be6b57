"""How long does each kind of box take from the call to its first useful output?"""

from collections.abc import Iterable
from typing import Any, Unpack

import psutil

from boxlab import records
from boxlab.errors import NotReady
from boxlab.experiments import blocks
from boxlab.language import _
from boxlab.runtimes import Observation, Runtime, Workload

METRICS: dict[str, dict[str, Any]] = {
    "seconds": {"unit": "s", "label": _("from the call to the first prediction")},
    "stop": {"unit": "s", "label": _("stop")},
    "machine_cpu": {"unit": "s", "label": _("CPU time of the whole machine"), "in_table": False},
    "woken": {"unit": "1", "label": _("times that a serial port which said nothing was woken"), "in_table": False},
}

MEASURES = (
    "t0: the call that starts the box. t1: the arrival of the workload's first useful output at the caller. "
    "Both on the caller's monotonic clock. Images, disks, kernel and snapshot are there before; the page cache is warm. "
    "What a container prints before the engine's call that starts it has returned is stamped then, so that part of the interpreter's "
    "time may count as the engine's."
)


def startup(
    arms: Iterable[str | Runtime] = ("process", "container", "microvm", "full-vm"),
    *,
    workload: Workload = Workload(),
    **options: Unpack[blocks.Options],
) -> records.Record:
    """Start every box once a round, in an order drawn anew for each round.

    Args:
        arms: names of runtimes, or runtimes. One that this machine cannot run is left out, and the record says why.
        workload: what to start, and what it may use.
        options: `blocks.Options`, which every experiment takes.

    Raises:
        BoxlabError: bad arguments, or boxes that did not run the same files.
        Unavailable: no arm can run here.
        EngineError: the engine stopped answering.
        KeyboardInterrupt: passed on, once the running box is gone and the record saved.
    """
    ready, left_out = blocks.prepared(arms, workload)

    def measure(record: records.Record, sample: records.Sample) -> None:
        timed_start(record, sample, ready[sample.arm], workload)

    return blocks.run(
        "startup",
        [blocks.plan_of(runtime) for runtime in ready.values()],
        measure,
        metrics=METRICS,
        measures=MEASURES,
        left_out=left_out,
        workload=workload,
        **options,
    )


def timed_start(
    record: records.Record, sample: records.Sample, runtime: Runtime, workload: Workload
) -> tuple[float, Observation]:
    """One start, observed and stopped; returns t0 on the monotonic clock, in seconds, and what was observed."""
    busy = machine_cpu_seconds()
    try:
        with runtime.start(workload) as box:
            sample.values["machine_cpu"] = machine_cpu_seconds() - busy
            seen = box.observe()
            blocks.same_files(record, runtime.kind, seen.inside["files_sha256"])
            sample.values["stop"] = box.stop()
            sample.values["seconds"], sample.marks = box.marks["ready"], box.marks
            if runtime.serial:
                sample.values["woken"] = box.console.woken
            return box.console.t0, seen
    except NotReady:
        sample.values["machine_cpu"] = machine_cpu_seconds() - busy
        raise


def machine_cpu_seconds() -> float:
    """CPU time that this machine has spent working since it booted, in seconds.

    Without `iowait` and `steal`, in which it does nothing, and `guest`, which is in `user` already.
    """
    times = psutil.cpu_times()
    worked = ("user", "nice", "system", "irq", "softirq")
    return sum(getattr(times, name, 0.0) for name in worked)
