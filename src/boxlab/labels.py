"""What is shown for ids that records hold: boxes, phases of a start, accelerators.

What one experiment alone measures, or compares, is called by its own module: its `METRICS` and its `ARMS`.
"""

from typing import Any

from boxlab.language import N_, _

BOXES = {
    "process": _("process"),
    "container": _("container"),
    "restored-vm": _("microVM, restored"),
    "microvm": _("microVM"),
    "full-vm": _("full VM"),
}

PHASES = {
    "fork": N_("fork"),
    "fork-exec": N_("fork, exec"),
    "process": N_("exec, chroot, interpreter"),
    "interpreter": N_("interpreter"),
    "output": N_("imports, model, prediction"),
    "create": N_("engine: create"),
    "attach": N_("engine: attach"),
    "start": N_("engine: mount, namespaces, runc"),
    "task": N_("engine, containerd: mount, task"),
    "network": N_("engine: network"),
    "start-qemu": N_("engine: start QEMU"),
    "command": N_("command, engine: create, attach, mount"),
    "ctr": N_("ctr, containerd: container, task"),
    "shim": N_("shim"),
    "runc": N_("runtime: namespaces, cgroup, mounts"),
    "runc-start": N_("runtime: start"),
    "runtime": N_("runtime: namespaces, cgroup, mounts"),
    "unshare": N_("fork, unshare: namespaces, root"),
    "cgroup": N_("fork, cgroup, unshare: namespaces, root"),
    "machine": N_("QEMU: machine"),
    "load-kernel": N_("QEMU: machine, kernel loaded"),
    "boot": N_("kernel: memory, CPU, devices, root"),
    "init": N_("init, interpreter"),
    "systemd": N_("systemd loads"),
    "basic": N_("basic system: devices, journal, mounts"),
    "services": N_("services, interpreter"),
    "restore": N_("state read, memory mapped"),
    "answer": N_("answer"),
}
"""What happened in a phase of a start; records of version 3 had these words."""

ACCELERATORS = {"kvm": "KVM", "hvf": "HVF", "tcg": _("software emulation (TCG)")}


DETAILS = {
    "builder": _("builder"),
    "bulk_mib": _("data in MiB"),
    "cgroup_version": _("version of control groups"),
    "command": _("QEMU's command"),
    "cpus": _("processors"),
    "delay_s": _("delay in s"),
    "dockerfile": "Dockerfile",
    "engine": _("second engine"),
    "file_mib": _("file in MiB"),
    "grace_s": _("time to end in s"),
    "guest_kernel": _("the guest's kernel"),
    "handler": _("handler"),
    "init": "--init",
    "line": _("edited line"),
    "machine": _("QEMU's machine"),
    "memory_mib": _("memory in MiB"),
    "namespaces": _("namespaces"),
    "network": _("network"),
    "oci_runtime": _("OCI runtime"),
    "pids": _("most processes"),
    "pulled_by": _("second engine"),
    "python_on_host": _("Python on the host"),
    "qemu": "QEMU",
    "read_by": _("memory read by"),
    "shell": _("shell form"),
    "signal": _("signal"),
    "user_namespace": _("user namespace"),
    "version": _("version"),
}
"""What an arm's plan says of it; how it ran a virtual machine, `accelerator` says."""


def accelerator(details: dict[str, Any]) -> str:
    """What ran a virtual machine, from the details of its arm."""
    name = ACCELERATORS[details["accelerator"]["name"]]
    return _("{accelerator}, QEMU in a container", accelerator=name) if details["qemu_in_container"] else name


def phase(name: str) -> str:
    """What happened in a phase; an old record may have words that no key of `PHASES` stands for, and keeps them."""
    return _(PHASES.get(name, name))
