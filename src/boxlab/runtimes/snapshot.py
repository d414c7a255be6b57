"""A virtual machine that is not booted but resumed: from the memory and the state of one that was ready."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from qemu.qmp import QMPClient, QMPError

from boxlab import labels, paths, progress, rootfs
from boxlab.errors import NotReady, Unavailable
from boxlab.language import _
from boxlab.runtimes import qemu
from boxlab.runtimes.box import ANSWER, WORKLOAD_MARKS, Workload
from boxlab.runtimes.console import Console
from boxlab.runtimes.spawn import HostProcess
from boxlab.runtimes.vm import MicroVM

_CAPABILITIES = [{"capability": name, "state": True} for name in ("x-ignore-shared", "events")]
"""The state leaves out memory that is in a file already, and its progress is reported (QEMU's migration capabilities)."""


@dataclass(frozen=True)
class _Resumable(qemu.Guest):
    """A guest whose memory is the file `ram`: written to it where it is to be saved, its own copy where it is resumed.

    QEMU cannot save an NVMe disk, so this one has a virtio disk, read-only, as two machines must not write to one.
    """

    folder: Path = Path()
    resumes: bool = False
    deadline_s: float = MicroVM.deadline_s
    """How long each step may take."""

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def command(self, disk: str, kernel: str) -> list[str]:
        share = "off" if self.resumes else "on"
        file = qemu.quoted(str(self.folder / "ram"))
        backend = f"memory-backend-file,id=ram,size={self.memory_mib}M,mem-path={file},share={share}"
        incoming = ["-incoming", "defer"] if self.resumes else []
        return [*super().command(disk, kernel), "-object", backend, "-initrd", str(self.kernel.initrd), *incoming]

    def described(self) -> list[str]:
        return self._with_paths(Path("SNAPSHOT"), Path("INITRD")).command("DISK", "KERNEL")

    def _with_paths(self, folder: Path, initrd: Path) -> "_Resumable":
        return replace(self, folder=folder, kernel=replace(self.kernel, initrd=initrd))

    def _machine_options(self) -> str:
        return ",memory-backend=ram"

    def _root_arguments(self) -> list[str]:
        return ["ro", "rdinit=/init", "--", self.disk.init]

    def _root_device(self, disk: str) -> list[str]:
        drive = f"id=root,if=none,format=raw,readonly=on,file={qemu.quoted(disk)}"
        return ["-drive", drive, "-device", "virtio-blk-pci,drive=root"]

    def save(self) -> None:
        """Boot until the workload is ready, and save that into the folder.

        Raises:
            NotReady: it does not get ready, or QEMU does not save it.
        """
        self.folder.mkdir()
        with progress.bar(_("{image}: snapshot", image=self.disk.image.name), total=2, unit=_("step")) as bar:

            async def talk(client: QMPClient, process: HostProcess) -> None:
                console = Console(process, WORKLOAD_MARKS, time.monotonic(), serial=True)
                await asyncio.to_thread(console.wait_for, "identity", self.deadline_s)
                bar.update()
                await _migrate(client, "migrate", self.state, self.deadline_s)
                bar.update()

            self.spawn_with(talk).stop(grace_s=0)

    def resume(self) -> HostProcess:
        """Start it where it was saved, and ask the workload for an answer and its identity.

        Raises:
            NotReady: QEMU does not resume it.
        """

        async def talk(client: QMPClient, process: HostProcess) -> None:
            await _migrate(client, "migrate-incoming", self.state, self.deadline_s)
            process.times["resumed"] = time.monotonic()
            process.send(b"\nidentity\n")

        return self.spawn_with(talk)

    def spawn_with(self, talk: Callable[[QMPClient, HostProcess], Awaitable[None]]) -> HostProcess:
        """Start QEMU and talk to it by its machine protocol; returns when `talk` has.

        Raises:
            NotReady: it does not answer, or refuses.
        """
        ours, theirs = socket.socketpair()
        monitor = ["-chardev", f"socket,id=monitor,fd={theirs.fileno()}", "-mon", "chardev=monitor,mode=control"]
        located = self._with_paths(Path(qemu.here(self.folder)), Path(qemu.here(self.kernel.initrd)))
        command = [*qemu.WATCHED, *located.command(*self.files()), *monitor]
        with theirs:
            process = qemu.started(command, (theirs.fileno(),))

        async def converse() -> None:
            client = QMPClient()
            await asyncio.wait_for(client.connect(ours), self.deadline_s)
            try:
                process.times["qemu"] = time.monotonic()
                await _execute(client, self.deadline_s, "migrate-set-capabilities", capabilities=_CAPABILITIES)
                await talk(client, process)
            finally:
                with suppress(EOFError, OSError):  # that it has hung up, its last answer says, or its output
                    await asyncio.wait_for(client.disconnect(), self.deadline_s)

        with ThreadPoolExecutor(1) as thread:  # in this one a notebook's own event loop may be running
            try:
                thread.submit(asyncio.run, converse()).result()
            except BaseException as error:  # Ctrl-C as well: nothing may stay
                process.stop(grace_s=0)
                if isinstance(error, (QMPError, TimeoutError)):
                    raise NotReady(
                        _("QEMU does not save or resume: {why}", why=str(error) or _("no answer"))
                    ) from error
                raise
        return process


async def _execute(client: QMPClient, deadline_s: float, command: str, **arguments: Any) -> None:
    """Give QEMU a command, and wait until it has answered.

    Raises:
        QMPError, TimeoutError: it refuses, or does not answer.
    """
    await asyncio.wait_for(client.execute(command, arguments), deadline_s)


async def _migrate(client: QMPClient, command: str, state: Path, deadline_s: float) -> None:
    """Save to or resume from the file `state`, and wait until QEMU reports that it is done.

    QEMU writes the file itself: a `cat` that did it (exec:) could still be at it when QEMU says that it is done.

    Raises:
        QMPError, TimeoutError: it is not.
    """
    with state.open("rb" if command == "migrate-incoming" else "wb") as file:
        client.send_fd_scm(file.fileno())
        await _execute(client, deadline_s, "getfd", fdname="state")
    with client.listener("MIGRATION") as reports:
        await _execute(client, deadline_s, command, uri="fd:state")
        status = ""
        while status != "completed":
            report: Any = await asyncio.wait_for(reports.get(), deadline_s)
            status = report["data"]["status"]
            if status == "failed":
                raise QMPError(_("{command} failed", command=command))


class RestoredVM(MicroVM):
    """The microVM, resumed from a snapshot that was taken when it was ready; its first output answers a question."""

    kind = "restored-vm"
    label = labels.BOXES[kind]
    phases = {
        "qemu": "machine",
        "resumed": "restore",
        "ready": "answer",
    }

    def prepare(self, workload: Workload) -> None:
        if qemu.in_container():
            raise Unavailable(_("a snapshot needs QEMU on this host"), qemu.INSTALL_FIX)
        super().prepare(workload)
        booted = self.guest
        key = " ".join([*booted.command(*booted.files()), qemu.version()])
        name = f"{workload.image}-{workload.memory_mib}"
        try:
            folder = rootfs.made_once(paths.CACHE / "snapshots", name, key, lambda draft: self._resumable(draft).save())
        except NotReady as error:
            raise Unavailable(_("no snapshot can be made here: {why}", why=error)) from error
        self.guest = self._resumable(folder, resumes=True)

    def marks(self) -> dict[str, str]:
        return {"ready": ANSWER}

    def _resumable(self, folder: Path, resumes: bool = False) -> _Resumable:
        booted = {field.name: getattr(self.guest, field.name) for field in fields(qemu.Guest)}
        return _Resumable(**booted, folder=folder, resumes=resumes, deadline_s=self.deadline_s)

    def _spawn(self, workload: Workload) -> HostProcess:
        assert isinstance(self.guest, _Resumable)  # by `prepare`
        return self.guest.resume()
