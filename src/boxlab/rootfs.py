"""One image's root filesystem in the form that each box needs: a folder for a process, a disk and a kernel for a VM.

Nothing here needs root on the host or any tool beyond the engine: disks are made inside a container of ours.
"""

import errno
import fcntl
import io
import os
import shlex
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.models.containers import Container as SdkContainer

from boxlab import builder, engine, images, marks, paths, progress
from boxlab.disk import named, remove
from boxlab.errors import BuildError, of_system
from boxlab.interrupts import deferred
from boxlab.language import _

TINY_INIT = "/boxlab-init"
SYSTEMD = "/lib/systemd/systemd"

DISK_INSIDE = "/disk.img"
KERNEL_INSIDE = "/vmlinux"
"""Where an image made by `machine` has its disk and its kernel."""

_BLOCK = 1 << 20

_used: dict[Path, int] = {}
"""By folder, the descriptor that holds what this process uses of it, until that ends; see `_lock`."""


@dataclass(frozen=True)
class Disk:
    """A disk that boots `image`'s command, by `init` as its first process."""

    path: Path
    image: images.Built
    init: str


@dataclass(frozen=True)
class Kernel:
    """A kernel, unpacked, its release as `uname -r` will print it, and an initial RAM disk with its drivers for virtio."""

    path: Path
    release: str
    initrd: Path


def directory(image: images.Built) -> Path:
    """The image's files in a folder, to run a plain process from.

    Raises:
        BoxlabError: they could not be unpacked.
    """

    def make(path: Path) -> None:
        path.mkdir()
        with _container(image.tag) as source:
            _untar(source.export(_BLOCK), path, image.name)  # type: ignore[arg-type]  # the stubs say str, it is bytes

    return made_once(paths.CACHE / "rootfs", image.name, image.id, make)


def disk(image: images.Built, init: str) -> Disk:
    """A disk with exactly the image's files, and beside them the few lines that start its command.

    Args:
        image: whose files and command.
        init: `TINY_INIT` for a script of ours as the first process, `SYSTEMD` for an operating system's.

    Raises:
        BuildError: the file system could not be made.
    """
    kit = images.ensure("vm-kit")
    starter = {TINY_INIT: _tiny_init, SYSTEMD: _systemd_unit}[init](image)

    def make(path: Path) -> None:
        with _container(image.tag) as source, _container(kit.tag, ["sh", "/kit/mkdisk.sh"]) as maker:
            _put(maker, "/", [_folder("in")])
            maker.put_archive("/in", source.export(_BLOCK))
            _put(maker, "/in", starter)
            maker.start()
            if status := maker.wait()["StatusCode"]:
                complaint = maker.logs().decode().strip()
                raise BuildError(
                    _(
                        "no disk of {image}: mkfs ended with {status}: {complaint}",
                        image=image.name,
                        status=status,
                        complaint=complaint[-300:],
                    ),
                    _("is the disk full? `docker system df`"),
                )
            _fetch(maker, "/disk.img", path, _("{image}: disk", image=image.name))

    key = f"{image.id}{kit.id}{[(member.name, data) for member, data in starter]}"
    return Disk(made_once(paths.CACHE / "disks", image.name, key, make), image, init)


def kernel() -> Kernel:
    """The kernel that every virtual machine here boots: Debian's own for cloud machines, unpacked."""
    kit = images.ensure("vm-kit")

    def make(path: Path) -> None:
        path.mkdir()
        with _container(kit.tag) as source:
            chunks, _facts = source.get_archive("/kit", _BLOCK)
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
                for member in tar:
                    name = Path(member.name).name
                    if name.startswith(("vmlinux-", "initrd")):
                        file = tar.extractfile(member)
                        assert file
                        (path / name).write_bytes(file.read())

    folder = made_once(paths.CACHE / "kernels", "vm-kit", kit.id, make)
    [file] = folder.glob("vmlinux-*")
    return Kernel(file, file.name.removeprefix("vmlinux-"), folder / "initrd.img")


def machine(disk: Disk, kernel: Kernel) -> str:
    """Tag of an image that holds QEMU, `disk` and `kernel`: a whole virtual machine, for a host without QEMU.

    Raises:
        BuildError: QEMU's own image does not build.
    """
    qemu = images.ensure("qemu")
    tag = images.own(f"vm-{disk.image.name}")
    key = images.short_hash(f"{qemu.id}{disk.path.name}{kernel.path}".encode())
    with engine.plain_errors():
        replaced = next(iter(engine.images(name=tag)), None)
        if replaced and replaced.labels.get(images.KEY_LABEL) == key:
            return tag
        with _container(qemu.tag) as container:
            for path, inside in ((disk.path, DISK_INSIDE), (kernel.path, KERNEL_INSIDE)):
                member = tarfile.TarInfo(inside.lstrip("/"))
                member.size, member.mode = path.stat().st_size, 0o644
                container.put_archive("/", tar_of(member, path))
            container.commit(*tag.rsplit(":", 1), changes=[f"LABEL {images.KEY_LABEL}={key}"])
        if replaced and replaced.id:
            builder.remove_unused(replaced.id)
    return tag


def tar_of(member: tarfile.TarInfo, path: Path) -> Iterator[bytes]:
    """A tar stream with one file, block by block."""
    yield member.tobuf()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
    yield b"\0" * (-member.size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def made_once(folder: Path, name: str, key: str, make: Callable[[Path], None]) -> Path:
    """The file or folder that `make` makes, made only where it is missing and in its place only once it is whole.

    Args:
        folder: where it belongs.
        name: its name; `key` is appended to it as a hash, and must change with everything that it is made of.
        make: called with the path to make it at.

    Older versions of the same thing go when a new one is made, but for those that another process still uses, such as one that
    has another engine, whose images have other ids.
    """
    final = folder / f"{name}-{images.short_hash(key.encode())}"
    with suppress(OSError):  # no locks in this file system
        _lock(final, fcntl.LOCK_SH)
    if final.exists():
        return final
    draft = paths.scratch() / f"{final.name}.{marks.RUN}"
    try:
        with named(draft):
            make(draft)
        folder.mkdir(parents=True, exist_ok=True)
        for older in set(folder.glob(f"{name}-*")) - {final}:
            try:
                _lock(older, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # it is used
                continue
            try:
                remove(older)
            finally:
                _lock(older, fcntl.LOCK_UN)
        if not final.exists():  # another process may have been faster
            draft.replace(final)
    finally:
        remove(draft)
    return final


def _lock(path: Path, how: int) -> None:
    """Lock what `made_once` makes: shared by whoever uses it, until that process ends, and exclusively by whoever removes it.

    A byte of one file stands for each path, as the lock must not be on a disk, which QEMU locks itself. No process is in its own way.

    Raises:
        OSError: another process is in the way, or there are no locks here.
    """
    if path.parent not in _used:
        path.parent.mkdir(parents=True, exist_ok=True)
        _used[path.parent] = os.open(path.parent / ".used", os.O_RDWR | os.O_CREAT, 0o666)
    fcntl.lockf(_used[path.parent], how, 1, zlib.crc32(path.name.encode()))


@contextmanager
def _container(tag: str, command: list[str] | None = None) -> Iterator[SdkContainer]:
    """A container of ours that is not running yet, and is gone afterwards."""
    container = None
    with engine.plain_errors():
        try:
            with deferred():
                container = engine.connect().containers.create(
                    tag, command or ["true"], labels=engine.labels(), network_mode="none"
                )
            yield container
        finally:
            if container:
                container.remove(force=True, v=True)


def _untar(archive: Iterable[bytes], folder: Path, name: str) -> None:
    """Unpack a tar stream into `folder` with tar itself, which keeps owners, links and modes where it may.

    Without what is in /dev: only root may make devices, and a plain process has no need of them.
    """
    command = ["tar", "--extract", "--exclude=dev/*", "--directory", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as tar:
        assert tar.stdin and tar.stderr  # pipes
        try:
            with (
                ThreadPoolExecutor(1) as thread,
                progress.bar(_("{image}: files", image=name), unit="B", unit_scale=True) as bar,
                tar.stdin,
            ):
                said = thread.submit(tar.stderr.read)  # meanwhile: an error for each file is more than a pipe holds
                for chunk in archive:
                    tar.stdin.write(chunk)
                    bar.update(len(chunk))
        except BrokenPipeError:
            pass  # tar gave up: its complaint says why
        complaint = said.result().decode(errors="replace").strip()
    if tar.returncode:
        if engine.FULL.search(complaint):
            raise of_system(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)))
        raise BuildError(
            _("the files of {image} could not be unpacked: {complaint}", image=name, complaint=complaint[-300:]),
            _("see what is special about the disk of {folder}: `df -hT {folder}`", folder=folder.parent),
        )


def _put(container: SdkContainer, folder: str, members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    """Put files into a container's `folder`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member, data in members:
            tar.addfile(member, io.BytesIO(data))
    container.put_archive(folder, buffer.getvalue())


def _fetch(container: SdkContainer, file: str, path: Path, label: str) -> None:
    """Copy one file out of a container, leaving blocks of zeros as holes, so that only what is used is allocated."""
    chunks, facts = container.get_archive(file, _BLOCK)
    assert facts
    reader = io.BufferedReader(_Chunks(chunks), _BLOCK)
    with (
        tarfile.open(fileobj=reader, mode="r|") as tar,
        path.open("wb") as sink,
        progress.bar(label, total=facts["size"], unit="B", unit_scale=True) as bar,
    ):
        member = tar.next()
        source = member and tar.extractfile(member)
        assert source
        while block := source.read(_BLOCK):
            if block.strip(b"\0"):
                sink.write(block)
            else:
                sink.seek(len(block), os.SEEK_CUR)
            bar.update(len(block))
        sink.truncate(facts["size"])


class _Chunks(io.RawIOBase):
    """A readable file over an iterator of byte strings."""

    def __init__(self, chunks: Iterable[bytes]):
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._rest = self._rest or next(self._chunks, b"")
        taken = self._rest[: len(buffer)]
        self._rest = self._rest[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)


def _folder(name: str) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry, b""


def _link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    return entry, b""


def _file(name: str, text: str, mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    data = text.encode()
    entry = tarfile.TarInfo(name.lstrip("/"))
    entry.size, entry.mode = len(data), mode
    return entry, data


def _tiny_init(image: images.Built) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Our init: what a container's runtime sets up before it starts the command, in a few lines of shell."""
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in image.environment.items())
    script = f"""#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
echo 1 > /proc/sys/kernel/printk # from here on the console belongs to the application
{exports}
cd {shlex.quote(image.working_dir)}
exec {shlex.join(image.command)}
"""
    return [_file(TINY_INIT, script, 0o755)]


def _systemd_unit(image: images.Built) -> list[tuple[tarfile.TarInfo, bytes]]:
    """The same command as a service that starts once the basic system is up, on the serial console."""
    environment = "\n".join(f'Environment="{name}={value}"' for name, value in image.environment.items())
    unit = f"""[Unit]
Description=The workload

[Service]
{environment}
WorkingDirectory={image.working_dir}
ExecStart=/usr/bin/env {shlex.join(image.command)}
StandardInput=tty-force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console

[Install]
WantedBy=multi-user.target
"""
    wanted = _link(
        "etc/systemd/system/multi-user.target.wants/workload.service", "/etc/systemd/system/workload.service"
    )
    # A login prompt would hang up the console, and on a slow machine it comes after the workload has begun to print.
    no_login = _link("etc/systemd/system/serial-getty@.service", "/dev/null")
    quiet = _file("etc/sysctl.d/90-console.conf", "kernel.printk = 1\n")
    return [_file("etc/systemd/system/workload.service", unit), wanted, no_login, quiet]
