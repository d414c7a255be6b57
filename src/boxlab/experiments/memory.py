"""How much memory does a box take once it is ready, by every way of counting that is in use?"""

from collections.abc import Iterable
from typing import Unpack

from boxlab import meter, records
from boxlab.experiments import blocks
from boxlab.runtimes import MicroVM, Runtime, Workload

METRICS = {
    "pss": {"unit": "B", "label": "proportional set (PSS)"},
    "uss": {"unit": "B", "label": "unique set (USS)"},
    "rss": {"unit": "B", "label": "resident set (RSS), summed"},
    "application": {"unit": "B", "label": "application (PSS)"},
    "shim": {"unit": "B", "label": "shim (PSS)"},
    "guest": {"unit": "B", "label": "guest's memory (PSS)"},
    "kernel_file": {"unit": "B", "label": "kernel's file (PSS)"},
    "translation": {"unit": "B", "label": "translated code (PSS)"},
    "vmm": {"unit": "B", "label": "QEMU itself (PSS)"},
    "configured": {"unit": "B", "label": "configured"},
    "cgroup_usage": {"unit": "B", "label": "cgroup: charged"},
    "cgroup_anon": {"unit": "B", "label": "cgroup: anonymous"},
    "cgroup_file": {"unit": "B", "label": "cgroup: file cache"},
    "cgroup_kernel": {"unit": "B", "label": "cgroup: kernel"},
    "engine": {"unit": "B", "label": "what docker stats shows"},
    "taken": {"unit": "B", "label": "change of MemAvailable"},
}
"""The last is restless: other programs take and give memory at the same time."""

MEASURES = (
    "At rest after the first output: sums over every process that serves the box (application, shim, VMM; not our own watch "
    "beside QEMU) from /proc/PID/smaps_rollup and smaps; its control group's files; MemAvailable before and after."
)

GUEST_METRICS = {
    "tax": {"unit": "B", "label": "configured, and not usable in the guest"},
    "usable": {"unit": "B", "label": "MemTotal in the guest"},
    "pss": {"unit": "B", "label": "proportional set of QEMU (PSS)"},
}


def memory(
    arms: Iterable[str | Runtime] = ("process", "container", "restored-vm", "microvm", "full-vm"),
    *,
    workload: Workload = Workload(),
    **options: Unpack[blocks.Options],
) -> records.Record:
    """Start each box, read it at rest from the host, stop it; arguments and errors as for `startup`."""
    ready, left_out = blocks.prepared(arms, workload, meter.refusal)
    with meter.open_meter() as gauge:

        def measure(record: records.Record, sample: records.Sample) -> None:
            before = gauge.read().available
            with ready[sample.arm].start(workload) as box:
                blocks.same_files(record, sample.arm, box.observe().inside["files_sha256"])
                reading = gauge.read(box)
            sample.values |= figures(reading, workload) | {"taken": before - reading.available}

        return blocks.run(
            "memory",
            [blocks.plan_of(runtime) for runtime in ready.values()],
            measure,
            metrics=METRICS,
            measures=MEASURES,
            left_out=left_out,
            workload=workload,
            usual=lambda profile: profile.steady,
            warm_up=0,
            **options,
        )


def figures(reading: meter.Reading, workload: Workload) -> dict[str, int]:
    """All figures of one box, under the names of `METRICS`; those that it has not are missing."""
    values = {figure: reading.total(figure) for figure in ("pss", "uss", "rss")}
    roles = {process["role"] for process in reading.processes}
    values |= {role: reading.total("pss", role) for role in ("application", "shim") if role in roles}
    if parts := reading.emulator_parts(workload.memory_mib):
        values |= {"vmm" if name == "rest" else name: size for name, size in parts.items()}
        values["configured"] = workload.memory_mib << 20
    for cgroup in reading.cgroups:
        values |= {f"cgroup_{name}": cgroup[name] for name in ("usage", "anon", "file")}
        if cgroup["kernel"] is not None:
            values["cgroup_kernel"] = cgroup["kernel"]
        values["engine"] = engine_figure(cgroup)
    return values


def engine_figure(cgroup: dict) -> int:
    """What `docker stats` calls memory usage, in bytes: what is charged, without the inactive part of the file cache.

    Source: docker/cli, cli/command/container/stats_helpers.go, calculateMemUsageUnixNoCache.
    """
    return max(0, cgroup["usage"] - cgroup["inactive_file"])


def guest_tax(
    sizes_mib: Iterable[int] = (128, 512, 1024),
    **options: Unpack[blocks.Options],
) -> records.Record:
    """How much of the memory that a machine is given does its kernel keep for itself? A microVM of each size, in MiB.

    Arguments and errors as for `startup`.
    """
    sizes = {size: MicroVM() for size in sizes_mib}
    for size, runtime in sizes.items():
        blocks.prepared([runtime], Workload(memory_mib=size), meter.refusal)
    with meter.open_meter() as gauge:

        def measure(record: records.Record, sample: records.Sample) -> None:
            workload = Workload(memory_mib=sample.level)
            with sizes[sample.level].start(workload) as box:
                inside = box.observe().inside
                sample.values["pss"] = gauge.read(box).total("pss")
            usable = int(inside["memory"].split()[1]) * 1024
            sample.values |= {"usable": usable, "tax": (sample.level << 20) - usable}

        return blocks.run(
            "guest-tax",
            [blocks.plan_of(next(iter(sizes.values())))],
            measure,
            metrics=GUEST_METRICS,
            measures="The size given to the machine, less MemTotal as its kernel states it once the workload is ready.",
            workload=Workload(),
            levels=list(sizes),
            level_means="MiB of memory given to the machine",
            usual=lambda profile: 1,
            warm_up=0,
            **options,
        )
