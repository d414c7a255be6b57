"""Which accelerator runs guests here, proven by running one: `/dev/kvm` may open and still not boot Linux."""

import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from boxlab import engine, files, images, paths, rootfs
from boxlab.errors import EngineError, NotReady, Unavailable
from boxlab.interrupts import deferred
from boxlab.runtimes import qemu
from boxlab.runtimes.box import WORKLOAD_MARKS, Workload
from boxlab.runtimes.console import Console

OVERRIDE = "BOXLAB_ACCELERATOR"
"""Environment variable that names the accelerator to use, without a probe: kvm, hvf or tcg."""

LABELS = {"kvm": "KVM", "hvf": "HVF", "tcg": "software emulation (TCG)"}
"""How every plot, table and caption names them."""

_HARDWARE = {"linux": "kvm", "darwin": "hvf"}
"""The accelerator that uses the processor's own virtualization, by `sys.platform`."""

HARDWARE_S = 5.0
"""A guest with hardware behind it boots well within this; one that hangs is killed."""

EMULATION_S = 60.0


@dataclass(frozen=True)
class Accelerator:
    """How guests run on this machine.

    Attributes:
        name: kvm, hvf or tcg.
        boot_s: how long the guest that proved it took to its first useful output, in seconds; None where overridden.
        reason: why it is not the machine's hardware virtualization; empty where it is.
        proven_at: when, UTC, ISO 8601.
    """

    name: str
    boot_s: float | None
    reason: str
    proven_at: str

    @property
    def label(self) -> str:
        return LABELS[self.name]

    @property
    def emulated(self) -> bool:
        return self.name == "tcg"


def choose() -> Accelerator:
    """The fastest accelerator that boots a guest here, from the cache where nothing has changed since it was proven.

    Raises:
        Unavailable: QEMU is missing, or no guest boots by any accelerator.
        BuildError, EngineError: the guest's image cannot be made.
    """
    if name := os.environ.get(OVERRIDE):
        if name not in LABELS:
            raise Unavailable(f"{OVERRIDE}={name} is no accelerator", f"one of: {', '.join(LABELS)}")
        return Accelerator(name, None, f"chosen by {OVERRIDE}", _now())
    return cached() or _prove(qemu.in_container())


def cached() -> Accelerator | None:
    """The verdict of an earlier proof, if this is still the same machine, kernel and QEMU."""
    try:
        verdict = json.loads(_verdict().read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return Accelerator(**verdict["accelerator"]) if verdict["circumstances"] == _circumstances() else None


@cache
def _prove(in_container: bool) -> Accelerator:
    """Boot a guest by the best accelerator that does; asked once a process, so that all arms of a run have the same."""
    hardware = _HARDWARE.get(sys.platform)
    reason, passing = _refusal(hardware), False
    if not reason:
        try:
            return _remember(Accelerator(hardware, _boot(hardware, HARDWARE_S), "", _now()))
        except NotReady as error:
            reason = f"{LABELS[hardware]} is there and does not boot Linux: {error}"
            passing = error.hung  # perhaps only because the machine was busy: ask again next time
    try:
        proven = Accelerator("tcg", _boot("tcg", EMULATION_S), reason, _now())
    except NotReady as error:
        raise Unavailable(
            f"no virtual machine boots here: {error}", "look at the machine's load, and at QEMU's version"
        ) from error
    return proven if passing else _remember(proven)


def attempts() -> dict[str, float | str]:
    """Boot a guest by each accelerator that this system could have, now: its label -> seconds to the first useful output,
    or why there was none.

    Raises:
        Unavailable: QEMU is missing.
        BuildError, EngineError: the guest's image cannot be made.
    """
    found: dict[str, float | str] = {}
    for name, deadline_s in ((_HARDWARE.get(sys.platform), HARDWARE_S), ("tcg", EMULATION_S)):
        refusal = _refusal(name) if name != "tcg" else ""
        try:
            found[LABELS.get(name, "hardware")] = refusal or _boot(name, deadline_s)
        except NotReady as error:
            found[LABELS[name]] = f"a guest was started and did not boot: {error}"
    return found


def _refusal(hardware: str | None) -> str:
    """Why the machine's hardware virtualization need not even be tried; empty where it may work."""
    if hardware is None:
        return f"no accelerator is known for {sys.platform}"
    if qemu.in_container() and not engine.is_local():
        return "QEMU runs in a container on the engine's own virtual machine"
    if hardware == "kvm":
        device = Path("/dev/kvm")
        if not device.exists():
            return "there is no /dev/kvm: virtualization is off in the firmware, or this is a VM without nesting"
        if not os.access(device, os.R_OK | os.W_OK):
            return "/dev/kvm is there and we may not use it: `sudo usermod -aG kvm $USER`, then log in again"
    return ""


def _boot(name: str, deadline_s: float) -> float:
    """Boot the workload once by the accelerator `name`, and return the seconds to its first useful output."""
    workload = Workload()
    disk = rootfs.disk(images.ensure(workload.image), rootfs.TINY_INIT)
    guest = qemu.guest(disk, rootfs.kernel(), name, workload.cpus, workload.memory_mib)
    began, spawned = time.monotonic(), None
    try:
        with deferred():
            spawned = guest.spawn()
        console = Console(spawned, WORKLOAD_MARKS, began)
        console.wait_for("ready", deadline_s)
        return console.marks["ready"]
    except EngineError as error:
        if guest.accelerator == "tcg" or "kvm" not in str(error):
            raise
        raise NotReady(str(error)) from error  # the engine may not hand the device on
    finally:
        if spawned:
            spawned.stop(grace_s=0)


def _remember(accelerator: Accelerator) -> Accelerator:
    files.write(
        _verdict(), json.dumps({"circumstances": _circumstances(), "accelerator": asdict(accelerator)}, indent=2)
    )
    return accelerator


def _verdict() -> Path:
    return paths.CACHE / "accelerator.json"


def _circumstances() -> dict:
    kvm = Path("/dev/kvm")
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "qemu": qemu.version(),
        "qemu_in_container": qemu.in_container(),
        "may_use_kvm": kvm.exists() and os.access(kvm, os.R_OK | os.W_OK),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
