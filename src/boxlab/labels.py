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
    "start": N_("engine: mount, runc, network"),
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


def accelerator(details: dict[str, Any]) -> str:
    """What ran a virtual machine, from the details of its arm."""
    name = ACCELERATORS[details["accelerator"]["name"]]
    return _("{accelerator}, QEMU in a container", accelerator=name) if details["qemu_in_container"] else name


def phase(name: str) -> str:
    """What happened in a phase; an old record may have words that no key of `PHASES` stands for, and keeps them."""
    return _(PHASES.get(name, name))
