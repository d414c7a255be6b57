"""What does a stronger wall cost? The same program under several runtimes: start, memory, and the price of a system call."""

import time
from collections.abc import Iterable
from typing import Unpack

from boxlab import meter, records
from boxlab.experiments import blocks
from boxlab.language import _
from boxlab.runtimes import Box, Container, MicroVM, Runtime, Workload

WORKLOAD = Workload("stress")

LOOP_S = 0.05
"""A timed loop runs at least so long."""

METRICS = {
    "seconds": {"unit": "s", "label": _("from the call to the first output")},
    "pss": {"unit": "B", "label": _("memory at rest (PSS)")},
    "getppid": {"unit": "s", "label": _("getppid, per call")},
    "stat": {"unit": "s", "label": _("stat of a file, per call")},
    "loop": {"unit": "s", "label": _("one round of the loop without it")},
    "stop": {"unit": "s", "label": _("stop")},
}

MEASURES = (
    "Start as in the startup experiment. Memory as in the memory experiment. System calls: loops in the program, timed on "
    f"the host's clock from request to answer, the shorter of two, long enough to take {LOOP_S} s, less the same loop around a function of the "
    "interpreter that asks nothing of the kernel; for stat, making the result that Python returns is in it."
)


def runtimes() -> list[Runtime]:
    """One arm for each kind of wall: none but the kernel's, another tool for the same, a kernel in user space, a machine."""
    return [
        Container(kind="runc", label=_("container, {runtime}", runtime="runc"), oci_runtime="runc"),
        Container(kind="crun", label=_("container, {runtime}", runtime="crun"), oci_runtime="crun"),
        Container(kind="gvisor", label=_("container, {runtime}", runtime="gVisor"), oci_runtime="runsc"),
        MicroVM(),
    ]


ARMS = {runtime.kind: runtime.label for runtime in runtimes()}


def isolation(
    arms: Iterable[Runtime] | None = None,
    **options: Unpack[blocks.Options],
) -> records.Record:
    """Start the program under each runtime, read its memory, and let it make system calls.

    What the engine does not know, or does not get to run, is left out. Arguments and errors as for `startup`.
    """
    ready, left_out = blocks.prepared(runtimes() if arms is None else arms, WORKLOAD, meter.refusal)
    with meter.open_meter() as gauge:

        def measure(record: records.Record, sample: records.Sample) -> None:
            with ready[sample.arm].start(WORKLOAD) as box:
                box.observe()
                sample.values["pss"] = gauge.read(box).total("pss")
                loop = _per_round(box, "nothing")
                sample.values |= {name: _per_round(box, name) - loop for name in ("getppid", "stat")}
                sample.values |= {"loop": loop, "stop": box.stop(), "seconds": box.marks["ready"]}
                sample.marks = box.marks

        return blocks.run(
            "isolation",
            [blocks.plan_of(runtime, read_by=gauge.read_by(runtime)) for runtime in ready.values()],
            measure,
            metrics=METRICS,
            measures=MEASURES,
            left_out=left_out,
            workload=WORKLOAD,
            **options,
        )


def _per_round(box: Box, call: str) -> float:
    """Seconds that one round of a loop takes inside a box, on our clock; the loop is lengthened until it is long enough."""

    def took() -> float:
        began = time.monotonic()
        box.ask(f"call {call} {count}")
        return time.monotonic() - began

    count = 1000
    while (shorter := min(took(), took())) < LOOP_S:  # or one that was held up would pass for long enough
        count *= 10 if shorter < LOOP_S / 20 else 2
    return shorter / count
