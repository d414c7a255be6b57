"""QEMU's command line for the machines of this book. What is chosen here, and why, was measured: see each option."""

import os
import platform
import re
import shutil
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from boxlab import images, marks, paths, rootfs
from boxlab.errors import Unavailable
from boxlab.language import _
from boxlab.runtimes.console import Console
from boxlab.runtimes.spawn import EngineContainer, HostProcess

_WATCH = """
exec 3<&0
trap 'kill $vm' TERM # before there is a machine that can be told to end
"$@" < <(exec 2>/dev/null; cat <&3; [ -z "$BOXLAB_WORKPLACE" ] || : >"$BOXLAB_WORKPLACE/left"; kill 0) & vm=$!
exec 2>/dev/null # the shell would say how the machine ended, and the machine's own last words are what helps
wait $vm; status=$?
wait $vm # the first one also returns when the trap has run, and then the machine is not gone yet
[ ! -e "$BOXLAB_WORKPLACE/left" ] || rm -rf -- "$BOXLAB_WORKPLACE" # whoever gave it was killed; if not, they do, after what is timed
exit $status
"""

WATCHED = ["bash", "-c", _WATCH, "bash"]
"""A prefix that passes its input on to the command after it and ends that when the input closes: QEMU itself would run on
after its owner was killed."""

VERSION_S = 60

WHERE = "BOXLAB_QEMU"
"""Environment variable that says where QEMU runs: host or container."""

INSTALL_FIX = _(
    "Debian, Ubuntu: `sudo apt-get install qemu-system-x86` (on arm64: qemu-system-arm); macOS: `brew install qemu`"
)


def architecture() -> str:
    """The architecture of this machine as QEMU calls it: x86_64 or aarch64."""
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)


def name() -> str:
    """The command of the QEMU for this machine's own architecture."""
    return f"qemu-system-{architecture()}"


def in_container() -> bool:
    """Whether QEMU runs inside a container of ours, as it must where the host has none; `WHERE` overrides.

    Raises:
        Unavailable: the host is asked for and has no QEMU.
    """
    where = os.environ.get(WHERE) or ("host" if shutil.which(name()) else "container")
    if where == "host" and not shutil.which(name()):
        raise Unavailable(_("{command} is not installed", command=name()), INSTALL_FIX)
    if where not in ("host", "container"):
        raise Unavailable(_("{setting} is no place for QEMU", setting=f"{WHERE}={where}"), _("host or container"))
    return where == "container"


def needed_images() -> list[str]:
    """The book's images that this machine may need, parents first: all but QEMU's own, where that is on the host.

    Raises:
        Unavailable: as for `in_container`.
    """
    return [each for each in images.names() if each != "qemu" or in_container()]


@cache
def version() -> str:
    """QEMU's version, such as 7.2.22."""
    command = [name(), "--version"]
    asked: HostProcess | EngineContainer
    if in_container():
        asked = EngineContainer(images.ensure("qemu").tag, command, network_mode="none")
    else:
        asked = HostProcess(command, dict(os.environ))
    try:
        return Console(asked, {"version": r"version (\S+)"}, time.monotonic()).wait_for("version", VERSION_S)
    finally:
        asked.stop(grace_s=0)


@cache
def tsc_khz() -> int | None:
    """Rate of this machine's time stamp counter in kHz, or None where it is not steady or not known.

    Linux derives BogoMIPS from it: two per MHz (arch/x86/kernel/tsc.c).
    """
    cpuinfo = Path("/proc/cpuinfo")
    if architecture() != "x86_64" or not cpuinfo.exists():
        return None
    text = cpuinfo.read_text()
    steady = {"constant_tsc", "nonstop_tsc"} <= set(text.split())
    bogomips = re.search(r"^bogomips\s*: ([\d.]+)", text, re.MULTILINE)
    return round(float(bogomips[1]) * 500) if steady and bogomips else None


@dataclass(frozen=True)
class Machine:
    """A virtual machine: which kind QEMU builds, and how the guest's kernel is told of it."""

    name: str
    options: str
    console: str
    kernel_arguments: tuple[str, ...] = ()


def machine(accelerator: str) -> Machine:
    """The smallest machine that boots reliably here.

    QEMU's microvm has no firmware worth the name and a handful of devices. Under emulation on a busy host its kernel may
    wait for ever while it calibrates the time stamp counter; it does not where it is told the counter's rate, and a q35
    machine has a timer to calibrate against. (Seen with QEMU 7.2 and Linux 6.1: no boot of 16 ended with four busy loops
    on two processors, and twelve of twelve did once the rate was given.)
    """
    if architecture() == "aarch64":
        return Machine("virt", "virt", "ttyAMA0")
    if accelerator != "tcg":
        return Machine("microvm", "microvm,pcie=on", "ttyS0")
    if rate := tsc_khz():
        return Machine("microvm", "microvm,pcie=on", "ttyS0", (f"tsc_early_khz={rate}",))
    return Machine("q35", "q35", "ttyS0")


@dataclass(frozen=True)
class Guest:
    """One virtual machine that can be started: what it boots, by what, how much it has, and the image that QEMU runs in
    where it runs in a container."""

    disk: rootfs.Disk
    kernel: rootfs.Kernel
    accelerator: str
    cpus: int
    memory_mib: int
    image: str | None = None

    def command(self, disk: str, kernel: str) -> list[str]:
        """The whole command that boots the guest from the files `disk` and `kernel`.

        - No initial RAM disk: this kernel has NVMe and ext4 built in, so the first file system that it sees is the
          image's own.
        - `-cpu max` under emulation, for its random number instruction: with QEMU's default the guest's Python waits
          for entropy, 0.7 s of it.
        - `snapshot=on`: what the guest writes goes to a file that is already unlinked, as a container's layer goes
          with it.
        - `cryptomgr.notests`: the kernel's self-tests of ciphers took a quarter of a second under emulation.
        - `panic=-1` with `-no-reboot`: when the first process ends the machine does, too.
        """
        box = machine(self.accelerator)
        early = "earlyprintk=ttyS0" if box.console == "ttyS0" else "earlycon"
        kernel_arguments = [
            f"console={box.console}",
            early,
            "devtmpfs.mount=1",
            "cryptomgr.notests",
            "panic=-1",
            *box.kernel_arguments,
            *self._root_arguments(),
        ]
        return [
            name(),
            *("-machine", box.options + self._machine_options()),
            *("-accel", self.accelerator),
            *("-cpu", "max" if self.accelerator == "tcg" else "host"),
            *("-smp", str(self.cpus)),
            *("-m", str(self.memory_mib)),
            *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
            *("-serial", "stdio"),
            *self._root_device(disk),
            *("-kernel", kernel),
            *("-append", " ".join(kernel_arguments)),
        ]

    def described(self) -> list[str]:
        """The command as a record says it, without this machine's own paths."""
        return self.command("DISK", "KERNEL")

    def _machine_options(self) -> str:
        return ""

    def _root_arguments(self) -> list[str]:
        """How the kernel is told of its root file system and first process; these come last."""
        return ["root=/dev/nvme0n1 rootfstype=ext4 rw", f"init={self.disk.init}"]

    def _root_device(self, disk: str) -> list[str]:
        return [
            *("-drive", f"id=root,if=none,format=raw,snapshot=on,file={quoted(disk)}"),
            *("-device", "nvme,drive=root,serial=root"),
        ]

    def spawn(self) -> HostProcess | EngineContainer:
        """Start QEMU, on the host or in a container."""
        if self.image:
            return EngineContainer(
                self.image,
                [*WATCHED, *self.command(rootfs.DISK_INSIDE, rootfs.KERNEL_INSIDE)],
                network_mode="none",
                devices=["/dev/kvm"] if self.accelerator == "kvm" else [],
            )
        return started([*WATCHED, *self.command(*self.files())])

    def files(self) -> tuple[str, str]:
        """Its disk and kernel as QEMU on the host finds them."""
        return here(self.disk.path), here(self.kernel.path)


def here(path: Path) -> str:
    """A file of ours as QEMU on the host finds it, which runs in our cache: the path to a clone may have any character."""
    return os.path.relpath(path, paths.CACHE)


def quoted(path: str) -> str:
    """A path as part of an option, in which a comma separates."""
    return path.replace(",", ",,")


def started(command: list[str], pass_fds: tuple[int, ...] = ()) -> HostProcess:
    """QEMU, started on the host in our cache. What its disks take up goes to a folder of its own that goes with it: it
    takes the file's name away once the file is open, and may be killed before."""
    workplace = marks.workplace("qemu")
    variables = os.environ | dict.fromkeys(("TMPDIR", "BOXLAB_WORKPLACE"), str(workplace))
    return HostProcess(command, variables, pass_fds, paths.CACHE, workplace)


def guest(disk: rootfs.Disk, kernel: rootfs.Kernel, accelerator: str, cpus: int, memory_mib: int) -> Guest:
    """A guest that is ready to be started: where QEMU runs in a container, the image that holds its files is made."""
    image = rootfs.machine(disk, kernel) if in_container() else None
    return Guest(disk, kernel, accelerator, cpus, memory_mib, image)
