"""How much memory does a box take once it is ready, by every way of counting that is in use?"""

from collections.abc import Iterable
from typing import Any, Unpack

from boxlab import meter, records
from boxlab.experiments import blocks
from boxlab.language import _
from boxlab.runtimes import Runtime, Workload

METRICS = {
    "pss": {"unit": "B", "label": _("proportional set (PSS)")},
    "uss": {"unit": "B", "label": _("unique set (USS)")},
    "rss": {"unit": "B", "label": _("resident set (RSS), summed")},
    "application": {"unit": "B", "label": _("application (PSS)")},
    "shim": {"unit": "B", "label": _("shim (PSS)")},
    "guest": {"unit": "B", "label": _("guest's memory (PSS)")},
    "kernel_file": {"unit": "B", "label": _("kernel's file (PSS)")},
    "translation": {"unit": "B", "label": _("translated code (PSS)")},
    "vmm": {"unit": "B", "label": _("QEMU itself (PSS)")},
    "configured": {"unit": "B", "label": _("configured")},
    "cgroup_usage": {"unit": "B", "label": _("cgroup: charged")},
    "cgroup_anon": {"unit": "B", "label": _("cgroup: anonymous")},
    "cgroup_file": {"unit": "B", "label": _("cgroup: file cache")},
    "cgroup_kernel": {"unit": "B", "label": _("cgroup: kernel")},
    "engine": {"unit": "B", "label": _("what docker stats shows")},
    "taken": {"unit": "B", "label": _("change of MemAvailable")},
}
"""The last is restless: other programs take and give memory at the same time."""

MEASURES = (
    "At rest after the first output: sums over every process that serves the box (application, shim, VMM; not our own watch "
    "beside QEMU) from /proc/PID/smaps_rollup and smaps; its control group's files; MemAvailable before and after."
)


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
            [blocks.plan_of(runtime, read_by=gauge.read_by(runtime)) for runtime in ready.values()],
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


def engine_figure(cgroup: dict[str, Any]) -> int:
    """What `docker stats` calls memory usage, in bytes: what is charged, without the inactive part of the file cache.

    Source: docker/cli, cli/command/container/stats_helpers.go, calculateMemUsageUnixNoCache.
    """
    return int(max(0, cgroup["usage"] - cgroup["inactive_file"]))
