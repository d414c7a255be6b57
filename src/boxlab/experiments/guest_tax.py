"""How much of the memory that a machine is given does its kernel keep for itself?"""

from collections.abc import Iterable
from typing import Unpack

from boxlab import records
from boxlab.experiments import blocks
from boxlab.language import _
from boxlab.runtimes import MicroVM, Workload

METRICS = {
    "tax": {"unit": "B", "label": _("configured, and not usable in the guest")},
    "usable": {"unit": "B", "label": _("MemTotal in the guest")},
}


def guest_tax(
    sizes_mib: Iterable[int] = (128, 256, 512, 1024),
    **options: Unpack[blocks.Options],
) -> records.Record:
    """Boot a microVM of each size, in MiB, and ask it how much it can use.

    Arguments and errors as for `startup`.
    """
    sizes = {size: MicroVM() for size in sizes_mib}
    for size, runtime in sizes.items():
        blocks.prepared([runtime], Workload(memory_mib=size))

    def measure(record: records.Record, sample: records.Sample) -> None:
        assert sample.level is not None  # as the plan has levels
        with sizes[sample.level].start(Workload(memory_mib=sample.level)) as box:
            inside = box.observe().inside
        usable = int(inside["memory"].split()[1]) * 1024
        sample.values |= {"usable": usable, "tax": (sample.level << 20) - usable}

    return blocks.run(
        "guest-tax",
        [blocks.plan_of(next(iter(sizes.values())))],
        measure,
        metrics=METRICS,
        measures="The size given to the machine, less MemTotal as its kernel states it once the workload is ready.",
        workload=Workload(),
        levels=list(sizes),
        usual=lambda profile: 1,
        warm_up=0,
        **options,
    )
