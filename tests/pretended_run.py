"""A small run as the experiment would record it, for tests that need one."""

from boxlab import records


def run(emulated: bool = True, rounds: int = 6) -> records.Record:
    def arm(kind, base, phases, details):
        return {
            "kind": kind,
            "emulated": details.get("accelerator", {}).get("name") == "tcg",
            "phases": phases,
            "details": details,
        }, base

    tcg = {
        "accelerator": {
            "name": "tcg" if emulated else "kvm",
            "boot_s": 2.0,
            "reason": "",
            "proven_at": "2026-01-01T00:00:00+00:00",
        },
        "qemu_in_container": False,
    }
    arms = [
        arm(
            "container",
            0.2,
            {"started": "start", "app": "interpreter", "ready": "output"},
            {"network": "none"},
        ),
        arm("microvm", 2.5, {"kernel": "load-kernel", "init": "boot", "app": "init", "ready": "output"}, tcg),
    ]
    samples = []
    for number in range(rounds + 1):
        for position, (plan, base) in enumerate(arms):
            seconds = base * (1 + 0.01 * number)
            marks = {mark: seconds * (i + 1) / len(plan["phases"]) for i, mark in enumerate(plan["phases"])}
            values = {"seconds": seconds, "stop": 0.05, "machine_cpu": seconds}
            samples.append(records.Sample(plan["kind"], number, position, number == 0, None, values, marks))
    return records.Record(
        experiment="startup",
        profile="quick",
        created="2026-01-02T03:04:05+00:00",
        complete=True,
        plan={
            "arms": [plan for plan, _ in arms],
            "left_out": {"process": {"reason": "not on this system", "phases": ["app", "ready"]}},
            "rounds": rounds,
            "discarded_rounds": 1,
            "seed": 1,
            "order": [["container", "microvm"]] * (rounds + 1),
            "metrics": {metric: {"unit": "s"} for metric in ("seconds", "stop", "machine_cpu")},
            "measures": "t0 to t1",
            "workload": {"image": "workload", "cpus": 1, "memory_mib": 256},
            "files_sha256": "0" * 64,
        },
        provenance={
            "host": {"cpu": "A processor", "cpus": 2, "kernel": "6.1", "is_virtual": True},
            "engine": {"version": "20.10", "storage_driver": "overlay2", "cgroup_version": "1"},
            "images": {},
            "code": {},
        },
        samples=samples,
    )


def levels(factor: float = 1, noise: float = 1.0) -> records.Record:
    """A density run: one instance takes 7 MiB and all together 13, times `factor`; `noise` MiB up and down."""
    result = run()
    mib = factor * 2**20
    result.experiment = "density"
    result.plan["metrics"] = {"pss": {"unit": "B"}}
    result.plan["levels"] = [0, 1, 2, 4, 8]
    result.plan["rounds"], result.plan["discarded_rounds"] = 1, 0
    result.samples = [
        records.Sample(arm, 0, position, False, n, {"pss": (13 + 7 * n + noise * (-1) ** position) * mib if n else 0.0})
        for arm in ("container", "microvm")
        for position, n in enumerate((4, 0, 8, 1, 2))
    ]
    return result
