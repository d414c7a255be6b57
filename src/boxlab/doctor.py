"""What this machine can do, proven rather than assumed, and the fix for what it cannot."""

import contextlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import docker
import psutil

from boxlab import builder, client, disk, engine, images, paths
from boxlab.errors import BoxlabError, EngineError, Unavailable, of_system
from boxlab.runtimes import accelerator, qemu

DISK_GIB = 5
"""Room that images, disks and the book take together, with some to spare."""

FULL_GIB = 0.1
"""Room with which nothing works any more."""

TRIAL = 1 << 16
"""Bytes that are written to see whether anything can be."""

MEMORY_GIB = 2
"""Available memory below which the full VM and the engine get into each other's way."""


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    what: str
    state: State
    detail: str
    fix: str = ""


def examine(again: bool = False) -> list[Finding]:
    """Every check. What a check cannot do is a finding too, never an exception.

    Args:
        again: try now how virtual machines run, whatever was found earlier.
    """
    checks = (
        _machine,
        _memory,
        _disk,
        _engine,
        _limits,
        _configuration,
        _images,
        _qemu,
        _accelerator,
        _fonts,
        _proxy,
        _certificates,
    )
    return (_guarded(_accelerator_again) if again else []) + [
        finding for check in checks for finding in _guarded(check)
    ]


def _guarded(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    name = check.__name__.strip("_")
    try:
        return list(check())
    except EngineError as error:
        # The engine's own check says it; what hangs on the engine need not repeat it.
        return [Finding(name, State.FAILURE, error.args[0], error.fix)] if check is _engine else []
    except BoxlabError as error:
        return [Finding(name, State.WARNING, error.args[0], error.fix)]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return [Finding(name, State.WARNING, f"this check does not work here: {error}")]


def _machine() -> Iterator[Finding]:
    yield Finding(
        "machine",
        State.OK,
        f"{platform.system()} {platform.release()}, {platform.machine()}, {psutil.cpu_count()} CPUs, Python {platform.python_version()}",
    )


def _memory() -> Iterator[Finding]:
    memory = psutil.virtual_memory()
    free, total = memory.available / 2**30, memory.total / 2**30
    short = free < MEMORY_GIB
    yield Finding(
        "memory",
        State.WARNING if short else State.OK,
        f"{free:.1f} GiB of {total:.1f} GiB available",
        "close other programs" if short else "",
    )


def _disk() -> Iterator[Finding]:
    yield _room("disk", paths.CACHE)
    temporary = Path(os.environ.get("TMPDIR") or tempfile.gettempdir())
    if _device(temporary) != _device(paths.CACHE):
        yield _room("temporary files", temporary)


def _room(what: str, folder: Path) -> Finding:
    """How much room there is where a folder lies, proven by writing there: a quota or a mount shows in no number."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as trial, disk.named(folder):
            trial.write(bytes(TRIAL))
            trial.flush()
    except OSError as error:
        known = of_system(error, str(folder))
        return Finding(what, State.FAILURE, known.args[0], known.fix)
    return _free(what, folder)


def _free(what: str, folder: Path, before: str = "") -> Finding:
    found = os.statvfs(folder)
    if found.f_flag & os.ST_RDONLY:
        return Finding(what, State.FAILURE, f"{before}{folder} is read-only", "mount it for writing")
    if found.f_files and not found.f_favail:
        return Finding(what, State.FAILURE, f"{before}no further file fits where {folder} lies", "remove files there")
    free = found.f_bavail * found.f_frsize / 2**30
    state = State.FAILURE if free < FULL_GIB else State.WARNING if free < DISK_GIB else State.OK
    fix = f"free {DISK_GIB} GiB; `docker system df` shows the engine's part" if state != State.OK else ""
    return Finding(what, state, f"{before}{free:.1f} GiB free where {folder} lies", fix)


def _device(folder: Path) -> int:
    """The file system of a folder that may have to be made yet."""
    return next(path for path in (folder, *folder.parents) if path.exists()).stat().st_dev


def _storage(info: dict[str, Any]) -> Finding:
    """Where an engine of this machine keeps what it has, and how much room there is; only its driver of another's."""
    root = Path(info["DockerRootDir"])
    where = f"{info['Driver']} in {root}: images unpacked"
    if engine.keeps_packed():  # it does not tell in which folder containerd keeps its own
        where = f"containerd's image store ({info['Driver']}): images compressed and unpacked, in containerd's own folder; all else in {root}"
    ours = engine.host().startswith("unix:") and info.get("KernelVersion") == platform.release() and root.is_dir()
    return _free("storage", root, f"{where}, ") if ours else Finding("storage", State.OK, where)


def _engine() -> Iterator[Finding]:
    connected = engine.connect()
    with engine.plain_errors():
        info, version = connected.info(), connected.version()
    yield from (
        Finding(
            "engine", State.OK, f"answers at {engine.host()}: {info['OperatingSystem']}, kernel {info['KernelVersion']}"
        ),
        _versions(version),
        Finding(
            "builder",
            State.OK,
            f"we build with {builder.chosen()}",
        ),
        Finding(
            "cgroup",
            State.OK,
            f"version {info.get('CgroupVersion', '1')}, driver {info.get('CgroupDriver', 'unknown')}",
        ),
        _storage(info),
        Finding("architecture", State.OK, info["Architecture"]),
        Finding("runtimes", State.OK, ", ".join(sorted(info.get("Runtimes", {}))) or "none reported"),
    )


def _versions(server: dict[str, Any]) -> Finding:
    """What speaks to the engine, and whether it may."""
    said = f"server {server['Version']} (API {server['ApiVersion']}), command "
    if not shutil.which("docker"):
        return Finding("versions", State.OK, f"{said}not installed, Python SDK {docker.__version__}")
    ran = engine.docker_command("version", "--format", "{{.Client.Version}}, API {{.Client.APIVersion}}")
    if ran.returncode:
        last = (ran.stderr.strip() or "it ends without a word").splitlines()[-1]
        return Finding("versions", State.WARNING, f"{said}does not work: {last}", client.fix_for(last))
    return Finding("versions", State.OK, f"{said}{ran.stdout.strip()}, Python SDK {docker.__version__}")


def _limits() -> Iterator[Finding]:
    if discarded := engine.discarded_limits():
        yield Finding(
            "limits", State.WARNING, f"this engine discards limits of {' and '.join(discarded)}", engine.LIMITS_FIX
        )


def _configuration() -> Iterator[Finding]:
    """The docker client's own, which commands that a reader types need; what we build does without."""
    troubles = [*client.config_trouble(), *client.credentials_trouble()]
    for trouble in troubles:
        yield Finding("docker's configuration", State.WARNING, trouble.args[0], trouble.fix)


def _images() -> Iterator[Finding]:
    tags = images.there()
    build = "`make book` makes it, or `.venv/bin/boxlab prepare`"
    if "base" not in tags:
        yield Finding("base image", State.NOTE, "not made yet", build)
        return
    yield Finding("base image", State.OK, f"from {tags['base'].labels.get(images.ORIGIN_LABEL, 'an unknown origin')}")
    missing = [name for name in images.names() if name not in tags and (name != "qemu" or qemu.in_container())]
    if missing:
        yield Finding("other images", State.NOTE, f"missing: {', '.join(missing)}", build)
    else:
        yield Finding("other images", State.OK, "all there")


def _qemu() -> Iterator[Finding]:
    if qemu.in_container():
        detail = "not on this host: virtual machines run QEMU in a container, and start a little later"
        yield Finding("QEMU", State.NOTE, detail, qemu.INSTALL_FIX)
    else:
        yield Finding("QEMU", State.OK, f"{qemu.version()}, {shutil.which(qemu.name())}")


def _accelerator_again() -> Iterator[Finding]:
    """Says nothing itself: what it finds, the next check reads."""
    with contextlib.suppress(Unavailable):
        accelerator.choose(again=True)
    yield from ()


def _accelerator() -> Iterator[Finding]:
    proof = "`make book` proves it, or `.venv/bin/boxlab prepare`"
    if os.environ.get(accelerator.OVERRIDE):
        chosen = accelerator.choose()
    elif qemu.in_container() and not images.find("qemu"):
        chosen = None
    else:
        chosen = accelerator.cached()
    if chosen is None:
        yield Finding("accelerator", State.NOTE, "not proven yet: no guest has run here", proof)
        return
    proven = f"a guest was ready in {chosen.boot_s:.2f} s, {chosen.proven_at}" if chosen.boot_s else "not proven"
    state = State.WARNING if chosen.emulated else State.OK
    fix = f"{chosen.reason}; {accelerator.AGAIN_FIX}" if chosen.boot_s and chosen.reason else chosen.reason
    yield Finding("accelerator", state, f"{chosen.label}: {proven}", fix)


def _fonts() -> Iterator[Finding]:
    if sys.platform != "linux":
        yield Finding("fonts", State.OK, "Hangul comes with this system")
        return
    if not shutil.which("fc-list"):
        yield Finding(
            "fonts",
            State.NOTE,
            "fontconfig is not installed: a browser on this machine may lack fonts",
            "`sudo apt-get install fontconfig fonts-nanum`",
        )
        return
    korean = subprocess.run(["fc-list", ":lang=ko", "family"], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )[0]
    yield (
        Finding("fonts", State.OK, f"Hangul: {korean}")
        if korean
        else Finding("fonts", State.NOTE, "no font with Hangul", "`sudo apt-get install fonts-nanum`")
    )


def _proxy() -> Iterator[Finding]:
    names = sorted({v.upper() for v in os.environ if v.lower() in ("http_proxy", "https_proxy", "no_proxy")})
    yield Finding(
        "proxy", State.NOTE if names else State.OK, f"set: {', '.join(names)}; passed to builds" if names else "none"
    )


def _certificates() -> Iterator[Finding]:
    extra = len(images.extra_certificates())
    yield Finding(
        "certificates",
        State.NOTE if extra else State.OK,
        f"{extra} authorities beyond the public ones; put into the base image"
        if extra
        else "only the public authorities",
    )
