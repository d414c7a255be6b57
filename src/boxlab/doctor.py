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
from boxlab.language import _, several
from boxlab.runtimes import accelerator, qemu

DISK_GIB = 5
"""Room that images, disks and the book take together, with some to spare."""

FULL_GIB = 0.1
"""Room with which nothing works any more."""

TRIAL = 1 << 16
"""Bytes that are written to see whether anything can be."""

MEMORY_GIB = 2
"""Available memory below which the full VM and the engine get into each other's way."""


_BUILDERS = {
    builder.Way.BUILDX: _("we build with BuildKit, by `docker buildx build`"),
    builder.Way.BUILDKIT: _("we build with BuildKit, by `docker build`"),
    builder.Way.CLASSIC: _("we build with the classic builder, by `docker build`"),
    builder.Way.CALL: _("we build with the classic builder, by the engine's call"),
}


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
    return (_guarded(_accelerator_again) if again else []) + [
        finding for check in _CHECKS for finding in _guarded(check)
    ]


def _guarded(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    name = _CHECKS.get(check, check.__name__.strip("_"))
    try:
        return list(check())
    except EngineError as error:
        # The engine's own check says it; what hangs on the engine need not repeat it.
        return [Finding(name, State.FAILURE, error.args[0], error.fix)] if check is _engine else []
    except BoxlabError as error:
        return [Finding(name, State.WARNING, error.args[0], error.fix)]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return [Finding(name, State.WARNING, _("this check does not work here: {why}", why=error))]


def _machine() -> Iterator[Finding]:
    yield Finding(
        _("machine"),
        State.OK,
        ", ".join(
            (
                f"{platform.system()} {platform.release()}",
                platform.machine(),
                several("{count} CPU", "{count} CPUs", psutil.cpu_count() or 0),
                f"Python {platform.python_version()}",
            )
        ),
    )


def _memory() -> Iterator[Finding]:
    memory = psutil.virtual_memory()
    free, total = memory.available / 2**30, memory.total / 2**30
    short = free < MEMORY_GIB
    yield Finding(
        _("memory"),
        State.WARNING if short else State.OK,
        _("{free:.1f} GiB of {total:.1f} GiB available", free=free, total=total),
        _("close other programs") if short else "",
    )


def _disk() -> Iterator[Finding]:
    yield _room(_("disk"), paths.CACHE)
    temporary = Path(os.environ.get("TMPDIR") or tempfile.gettempdir())
    if _device(temporary) != _device(paths.CACHE):
        yield _room(_("temporary files"), temporary, FULL_GIB)


def _room(what: str, folder: Path, enough_gib: float = DISK_GIB) -> Finding:
    """How much room there is where a folder lies, proven by writing there: a quota or a mount shows in no number."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as trial, disk.named(folder):
            trial.write(bytes(TRIAL))
            trial.flush()
    except OSError as error:
        known = of_system(error, str(folder))
        return Finding(what, State.FAILURE, known.args[0], known.fix)
    return _free(what, folder, enough_gib=enough_gib)


def _free(what: str, folder: Path, before: str = "", enough_gib: float = DISK_GIB) -> Finding:
    found = os.statvfs(folder)
    if found.f_flag & os.ST_RDONLY:
        return Finding(
            what, State.FAILURE, before + _("{folder} is read-only", folder=folder), _("mount it for writing")
        )
    if found.f_files and not found.f_favail:
        full = _("no further file fits where {folder} lies", folder=folder)
        return Finding(what, State.FAILURE, before + full, _("remove files there"))
    free = found.f_bavail * found.f_frsize / 2**30
    state = State.FAILURE if free < FULL_GIB else State.WARNING if free < enough_gib else State.OK
    fix = _("free {size} GiB; `docker system df` shows the engine's part", size=DISK_GIB)
    if enough_gib < DISK_GIB:
        fix = _("remove files there, or let TMPDIR name another folder")
    found_free = _("{free:.1f} GiB free where {folder} lies", free=free, folder=folder)
    return Finding(what, state, before + found_free, "" if state == State.OK else fix)


def _device(folder: Path) -> int:
    """The file system of a folder that may have to be made yet."""
    return next(path for path in (folder, *folder.parents) if path.exists()).stat().st_dev


def _storage(info: dict[str, Any]) -> Finding:
    """Where an engine of this machine keeps what it has, and how much room there is; only its driver of another's."""
    root = Path(info["DockerRootDir"])
    where = _("{driver} in {folder}: images unpacked", driver=info["Driver"], folder=root)
    if engine.keeps_packed():  # it does not tell in which folder containerd keeps its own
        where = _(
            "containerd's image store ({driver}): images compressed and unpacked, in containerd's own folder; all else in {folder}",
            driver=info["Driver"],
            folder=root,
        )
    ours = engine.host().startswith("unix:") and info.get("KernelVersion") == platform.release() and os.path.isdir(root)
    return _free(_("storage"), root, f"{where}, ") if ours else Finding(_("storage"), State.OK, where)


def _engine() -> Iterator[Finding]:
    connected = engine.connect()
    with engine.plain_errors():
        info, version = connected.info(), connected.version()
    yield from (
        Finding(
            _("engine"),
            State.OK,
            _(
                "answers at {address}: {system}, kernel {kernel}",
                address=engine.host(),
                system=info["OperatingSystem"],
                kernel=info["KernelVersion"],
            ),
        ),
        _versions(version),
        Finding(_("builder"), State.OK, _BUILDERS[builder.chosen()]),
        Finding(
            _("cgroup"),
            State.OK,
            _(
                "version {version}, driver {driver}",
                version=info.get("CgroupVersion", "1"),
                driver=info.get("CgroupDriver", _("unknown")),
            ),
        ),
        _storage(info),
        Finding(_("architecture"), State.OK, info["Architecture"]),
        Finding(_("runtimes"), State.OK, ", ".join(sorted(info.get("Runtimes") or ())) or _("none reported")),
    )


def _versions(server: dict[str, Any]) -> Finding:
    """What speaks to the engine, and whether it may."""
    said = {"server": server["Version"], "api": server["ApiVersion"], "sdk": docker.__version__}
    if not shutil.which("docker"):
        detail = _("server {server} (API {api}), command not installed, Python SDK {sdk}", **said)
        return Finding(_("versions"), State.OK, detail)
    ran = engine.docker_command("version", "--format", "{{.Client.Version}}, API {{.Client.APIVersion}}")
    if ran.returncode:
        last = (ran.stderr.strip() or _("it ends without a word")).splitlines()[-1]
        detail = _("server {server} (API {api}), command does not work: {why}", why=last, **said)
        return Finding(_("versions"), State.WARNING, detail, client.fix_for(last))
    command = ran.stdout.strip()
    detail = _("server {server} (API {api}), command {command}, Python SDK {sdk}", command=command, **said)
    return Finding(_("versions"), State.OK, detail)


def _limits() -> Iterator[Finding]:
    if discarded := engine.discarded_limits():
        yield Finding(_("limits"), State.WARNING, engine.discards(discarded), engine.LIMITS_FIX)


def _configuration() -> Iterator[Finding]:
    """The docker client's own, which commands that a reader types need; what we build does without."""
    troubles = [*client.config_trouble(), *client.credentials_trouble()]
    for trouble in troubles:
        yield Finding(_("docker's configuration"), State.WARNING, trouble.args[0], trouble.fix)


def _images() -> Iterator[Finding]:
    tags = images.there()
    build = _("`make book` makes it, or `.venv/bin/boxlab prepare`")
    others = _("what needs one makes it; or `.venv/bin/boxlab prepare --chapters` all of them now")
    if "base" not in tags:
        yield Finding(_("base image"), State.NOTE, _("not made yet"), build)
        return
    origin = tags["base"].labels.get(images.ORIGIN_LABEL, _("an unknown origin"))
    yield Finding(_("base image"), State.OK, _("from {origin}", origin=origin))
    missing = [name for name in qemu.needed_images() if name not in tags]
    if missing:
        yield Finding(_("other images"), State.NOTE, _("missing: {images}", images=", ".join(missing)), others)
    else:
        yield Finding(_("other images"), State.OK, _("all there"))


def _qemu() -> Iterator[Finding]:
    if qemu.in_container():
        detail = _("not on this host: virtual machines run QEMU in a container, and start a little later")
        yield Finding("QEMU", State.NOTE, detail, qemu.INSTALL_FIX)
    else:
        yield Finding("QEMU", State.OK, f"{qemu.version()}, {shutil.which(qemu.name())}")


def _accelerator_again() -> Iterator[Finding]:
    """Says nothing itself: what it finds, the next check reads."""
    with contextlib.suppress(Unavailable):
        accelerator.choose(again=True)
    yield from ()


def _accelerator() -> Iterator[Finding]:
    if os.environ.get(accelerator.OVERRIDE):
        chosen = accelerator.choose()
    elif qemu.in_container() and not images.find("qemu"):
        chosen = None
    else:
        chosen = accelerator.cached()
    if chosen is None:
        proof = _("`make book` proves it, or `.venv/bin/boxlab prepare`")
        yield Finding(_("accelerator"), State.NOTE, _("not proven yet: no guest has run here"), proof)
        return
    proven = _("not proven")
    if chosen.boot_s:
        proven = _("a guest was ready in {seconds:.2f} s, {time}", seconds=chosen.boot_s, time=chosen.proven_at)
    state = State.WARNING if chosen.emulated else State.OK
    fix = f"{chosen.reason}; {accelerator.AGAIN_FIX}" if chosen.boot_s and chosen.reason else chosen.reason
    yield Finding(_("accelerator"), state, f"{chosen.label}: {proven}", fix)


def _fonts() -> Iterator[Finding]:
    if sys.platform != "linux":
        yield Finding(_("fonts"), State.OK, _("Hangul comes with this system"))
        return
    if not shutil.which("fc-list"):
        yield Finding(
            _("fonts"),
            State.NOTE,
            _("fontconfig is not installed: a browser on this machine may lack fonts"),
            "`sudo apt-get install fontconfig fonts-nanum`",
        )
        return
    korean = subprocess.run(["fc-list", ":lang=ko", "family"], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )[0]
    yield (
        Finding(_("fonts"), State.OK, _("Hangul: {font}", font=korean))
        if korean
        else Finding(_("fonts"), State.NOTE, _("no font with Hangul"), "`sudo apt-get install fonts-nanum`")
    )


def _proxy() -> Iterator[Finding]:
    names = sorted({v.upper() for v in os.environ if v.lower() in ("http_proxy", "https_proxy", "no_proxy")})
    detail = _("set: {names}; passed to builds", names=", ".join(names)) if names else _("none")
    yield Finding(_("proxy"), State.NOTE if names else State.OK, detail)


def _certificates() -> Iterator[Finding]:
    extra = len(images.extra_certificates())
    detail = several(
        "{count} authority beyond the public ones; put into the base image",
        "{count} authorities beyond the public ones; put into the base image",
        extra,
    )
    yield Finding(
        _("certificates"),
        State.NOTE if extra else State.OK,
        detail if extra else _("only the public authorities"),
    )
    if unread := images.unread_certificates():
        yield Finding(
            _("certificates"),
            State.NOTE,
            _("cannot be read, so not in the base image: {files}", files=", ".join(map(str, unread))),
            _("`sudo chmod a+r FILE`, or let the variable, such as SSL_CERT_FILE, name a file that exists"),
        )


_CHECKS: dict[Callable[[], Iterator[Finding]], str] = {
    _machine: _("machine"),
    _memory: _("memory"),
    _disk: _("disk"),
    _engine: _("engine"),
    _limits: _("limits"),
    _configuration: _("configuration"),
    _images: _("images"),
    _qemu: "qemu",
    _accelerator: _("accelerator"),
    _fonts: _("fonts"),
    _proxy: _("proxy"),
    _certificates: _("certificates"),
}
"""The checks, and under what name each says that it does not work."""
