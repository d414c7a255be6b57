"""Virtual machines: a microVM that boots a kernel and the application, and a full one that boots an operating system."""

from dataclasses import asdict
from typing import Any

from boxlab import images, labels, rootfs
from boxlab.errors import BuildError, Unavailable
from boxlab.language import _
from boxlab.runtimes import accelerator, qemu
from boxlab.runtimes.box import Runtime, Workload
from boxlab.runtimes.spawn import EngineContainer, HostProcess

PATIENCE = 10
"""A machine hangs if it prints nothing, or answers nothing, for as long as so many boots of the smallest guest take."""

KERNEL_MARKS = {
    "kernel": r"Linux version (\S+)",
    "init": r"Run (\S+) as init process",
}
"""The first line that a kernel prints, and the one that it prints when it hands over to the first process."""


class MicroVM(Runtime):
    """A kernel of its own and the application, on the image's own files; a few lines of shell are its init."""

    kind = "microvm"
    label = labels.BOXES[kind]
    phases = {
        "spawned": "fork",
        "kernel": "load-kernel",
        "init": "boot",
        "app": "init",
        "ready": "output",
    }
    init = rootfs.TINY_INIT
    deadline_s = 120.0
    silence_s = 60.0
    serial = True

    boots = 20
    """As many boots of the smallest guest as a start may take where that is longer than `deadline_s`, as on a slow machine."""

    def image(self, workload: Workload) -> images.Built:
        """The image whose files it boots."""
        return images.ensure(workload.image)

    def prepare(self, workload: Workload) -> None:
        try:
            self._prepare(workload)
        except BuildError as error:  # what every box stands on, the others miss as well, and say so
            raise Unavailable(error.args[0], error.fix) from error

    def _prepare(self, workload: Workload) -> None:
        self._accelerator = accelerator.choose()
        boot_s = self._accelerator.boot_s or 0
        self.deadline_s = max(type(self).deadline_s, self.boots * boot_s)
        self.silence_s = self.answer_s = max(type(self).silence_s, PATIENCE * boot_s)
        disk = rootfs.disk(self.image(workload), self.init)
        name = self._accelerator.name
        if workload.cpus != int(workload.cpus):
            raise Unavailable(
                _("a machine has whole processors, not {number:g}", number=workload.cpus), _("ask for a whole number")
            )
        self.guest = qemu.guest(disk, rootfs.kernel(), name, int(workload.cpus), workload.memory_mib)
        if qemu.in_container():
            before = {"created": "create", "attached": "attach", "started": "start-qemu"}
            self.phases = before | {mark: label for mark, label in type(self).phases.items() if mark != "spawned"}

    def marks(self) -> dict[str, str]:
        return KERNEL_MARKS

    def details(self) -> dict[str, Any]:
        return {
            "accelerator": asdict(self._accelerator),
            "machine": qemu.machine(self._accelerator.name).name,
            "qemu": qemu.version(),
            "qemu_in_container": qemu.in_container(),
            "guest_kernel": self.guest.kernel.release,
            "command": self.guest.described(),
        }

    def _spawn(self, workload: Workload) -> HostProcess | EngineContainer:
        return self.guest.spawn()


class FullVM(MicroVM):
    """The same machine and kernel booting the same distribution by systemd, with the application as a service of it."""

    kind = "full-vm"
    label = labels.BOXES[kind]
    phases = {
        "spawned": "fork",
        "kernel": "load-kernel",
        "init": "boot",
        "systemd": "systemd",
        "basic": "basic",
        "app": "services",
        "ready": "output",
    }
    init = rootfs.SYSTEMD
    deadline_s = 300.0
    silence_s = 150.0  # systemd reads its units without a word, for over a minute on a machine with much else to do
    boots = 60

    def image(self, workload: Workload) -> images.Built:
        if workload.image != Workload.image:
            raise Unavailable(
                _("the full VM has no operating system around {image!r}", image=workload.image),
                _("leave out the arm full-vm"),
            )
        return images.ensure("full-vm")

    def marks(self) -> dict[str, str]:
        return KERNEL_MARKS | {
            "systemd": r"systemd \S+ running in system mode",
            "basic": r"Reached target.*basic\.target",
        }
