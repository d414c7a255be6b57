"""Which accelerator runs guests here, proven by running one: `/dev/kvm` may open and still not boot Linux.

What the proof has found is remembered, also that nothing booted, so that a machine pays for it once.
"""

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from boxlab import disk, engine, images, labels, paths, progress, provenance, rootfs, turns
from boxlab.errors import EngineError, NotReady, Unavailable
from boxlab.interrupts import deferred
from boxlab.language import _
from boxlab.runtimes import qemu
from boxlab.runtimes.box import WORKLOAD_MARKS, Workload
from boxlab.runtimes.console import Console

OVERRIDE = "BOXLAB_ACCELERATOR"
"""Environment variable that names the accelerator to use, without a probe: kvm, hvf or tcg."""

_HARDWARE = {"linux": "kvm", "darwin": "hvf"}
"""The accelerator that uses the processor's own virtualization, by `sys.platform`."""

HARDWARE_S = 5.0
"""A guest with hardware behind it boots well within this; one that hangs is killed."""

EMULATION_S = 600.0
"""An emulator within an emulator needs minutes; it prints something all the while."""

SILENCE_S = 60.0
"""A guest that prints nothing for so long hangs."""

AGAIN = timedelta(days=1)
"""A guest may not have booted for a passing reason, such as another program that had KVM: it is tried again so much later."""

BUSY = 0.75
"""Load of each processor from which a guest may not have booted because of it: it is tried again once there is less."""

AGAIN_FIX = _("`.venv/bin/boxlab doctor --again` tries again, now")


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
        return labels.ACCELERATORS[self.name]

    @property
    def emulated(self) -> bool:
        return self.name == "tcg"


@dataclass(frozen=True)
class _Verdict:
    """What a proof has found.

    Attributes:
        accelerator: by which a guest boots, or None.
        reason: why none does; empty where one does.
        failed: whether a guest was started that did not boot, by this or a faster accelerator.
        load: of each processor, when it was asked.
        at: when, UTC, ISO 8601.
    """

    accelerator: Accelerator | None
    reason: str
    failed: bool
    load: float
    at: str

    def stands(self) -> bool:
        """Whether it need not be asked again."""
        age = datetime.now(UTC) - datetime.fromisoformat(self.at)
        passed = self.load >= BUSY > _load() or not timedelta(0) <= age < AGAIN
        return not (self.failed and passed)

    def upheld(self) -> Accelerator:
        """The accelerator.

        Raises:
            Unavailable: no guest boots here.
        """
        if not self.accelerator:
            raise Unavailable(_("no virtual machine boots here: {why}", why=self.reason), AGAIN_FIX)
        return self.accelerator


def choose(again: bool = False) -> Accelerator:
    """The fastest accelerator that boots a guest here, by what an earlier proof found where nothing has changed since;
    `again` asks now. One process is told the same each time, so that all arms of a run have the same.

    Raises:
        Unavailable: QEMU is missing, or no guest boots by any accelerator.
        BuildError, EngineError: the guest's image cannot be made.
    """
    if name := os.environ.get(OVERRIDE):
        if name not in labels.ACCELERATORS:
            raise Unavailable(
                _("{setting} is no accelerator", setting=f"{OVERRIDE}={name}"),
                _("one of: {names}", names=", ".join(labels.ACCELERATORS)),
            )
        return Accelerator(name, None, _("chosen by {variable}", variable=OVERRIDE), _now())
    if again:
        _judged.cache_clear()
        _file().unlink(missing_ok=True)
    return _judged(qemu.in_container()).upheld()


def cached() -> Accelerator | None:
    """What an earlier proof found, if this is still the same machine, kernel and QEMU.

    Raises:
        Unavailable: it found that no guest boots.
    """
    verdict = _remembered()
    return verdict.upheld() if verdict else None


@cache
def _judged(in_container: bool) -> _Verdict:
    """The verdict for this process. Of several that ask at once one proves, and the others wait for what it finds."""
    if verdict := _standing():
        return verdict
    with turns.turn(_turn(), _("it is known how virtual machines run here")):
        return _standing() or _remember(_prove())


def _standing() -> _Verdict | None:
    verdict = _remembered()
    return verdict if verdict and verdict.stands() else None


def _turn() -> str:
    """For those who share what is remembered."""
    return f"accelerator-{images.short_hash(bytes(paths.CACHE))}"


def _prove() -> _Verdict:
    """Boot a guest by the best accelerator that does."""
    load, hardware = _load(), _HARDWARE.get(sys.platform, "")
    reason, failed = _refusal(hardware), False
    for name in ("tcg",) if reason else (hardware, "tcg"):
        progress.say(_("virtual machines: trying one by {accelerator}", accelerator=labels.ACCELERATORS[name]))
        try:
            boot_s = _boot(name)
            return _Verdict(Accelerator(name, boot_s, reason, _now()), "", failed, load, _now())
        except NotReady as error:
            said = _(
                "{accelerator} is there and does not boot Linux: {why}",
                accelerator=labels.ACCELERATORS[name],
                why=error.args[0],
            )
            reason, failed = f"{reason}; {said}" if reason else said, True
    return _Verdict(None, reason, failed, load, _now())


def attempts() -> dict[str, float | str]:
    """Boot a guest by each accelerator that this system could have, now: its label -> seconds to the first useful output,
    or why there was none.

    Raises:
        Unavailable: QEMU is missing.
        BuildError, EngineError: the guest's image cannot be made.
    """
    found: dict[str, float | str] = {}
    for name in (_HARDWARE.get(sys.platform, ""), "tcg"):
        refusal = _refusal(name) if name != "tcg" else ""
        try:
            found[labels.ACCELERATORS.get(name, "hardware")] = refusal or _boot(name)
        except NotReady as error:
            found[labels.ACCELERATORS[name]] = _("a guest was started and did not boot: {why}", why=error)
    return found


def _refusal(hardware: str) -> str:
    """Why the machine's hardware virtualization need not even be tried; empty where it may work."""
    if not hardware:
        return _("no accelerator is known for {system}", system=sys.platform)
    if qemu.in_container() and not engine.is_local():
        return _("QEMU runs in a container on the engine's own virtual machine")
    if hardware == "kvm":
        device = Path("/dev/kvm")
        if not device.exists():
            return _("there is no /dev/kvm: virtualization is off in the firmware, or this is a VM without nesting")
        if not os.access(device, os.R_OK | os.W_OK):
            return _("/dev/kvm is there and we may not use it: `sudo usermod -aG kvm $USER`, then log in again")
    return ""


def _boot(name: str) -> float:
    """Boot the workload once by the accelerator `name`, and return the seconds to its first useful output."""
    deadline_s = EMULATION_S if name == "tcg" else HARDWARE_S
    workload = Workload()
    disk = rootfs.disk(images.ensure(workload.image), rootfs.TINY_INIT)
    guest = qemu.guest(disk, rootfs.kernel(), name, int(workload.cpus), workload.memory_mib)
    began, spawned = time.monotonic(), None
    try:
        with deferred():
            spawned = guest.spawn()
        console = Console(spawned, WORKLOAD_MARKS, began, serial=True)
        console.wait_for("ready", deadline_s, SILENCE_S)
        return console.marks["ready"]
    except EngineError as error:
        if guest.accelerator == "tcg" or "kvm" not in str(error):
            raise
        raise NotReady(str(error)) from error  # the engine may not hand the device on
    finally:
        if spawned:
            spawned.stop(grace_s=0)


def _remember(verdict: _Verdict) -> _Verdict:
    disk.write(_file(), json.dumps({"circumstances": _circumstances(), "verdict": asdict(verdict)}, indent=2))
    return verdict


def _remembered() -> _Verdict | None:
    try:
        found = json.loads(_file().read_text())
        verdict, accelerator = found["verdict"], found["verdict"]["accelerator"]
        if found["circumstances"] != _circumstances():
            return None
        return _Verdict(**verdict | {"accelerator": accelerator and Accelerator(**accelerator)})
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, or of another version of ours
        return None


def _file() -> Path:
    return paths.CACHE / "accelerator.json"


def _circumstances() -> dict[str, Any]:
    kvm, host = Path("/dev/kvm"), provenance.host()
    return {
        "kernel": host["kernel"],
        "machine": host["architecture"],
        "processor": host["cpu"],
        "qemu": qemu.version(),
        "qemu_in_container": qemu.in_container(),
        "may_use_kvm": kvm.exists() and os.access(kvm, os.R_OK | os.W_OK),
    }


def _load() -> float:
    """Processes that wanted to run within the last minute, for each processor."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
