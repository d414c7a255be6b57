"""What this machine can do, proven rather than assumed, and the fix for what it cannot."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import docker
import psutil

from boxlab import engine, images, paths
from boxlab.errors import BoxlabError, EngineError
from boxlab.runtimes import accelerator, qemu

DISK_GIB = 5
"""Room that images, disks and the book take together, with some to spare."""

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


def examine() -> list[Finding]:
    """Every check. What a check cannot do is a finding too, never an exception."""
    checks = (_machine, _memory, _disk, _engine, _images, _qemu, _accelerator, _fonts, _proxy, _certificates)
    return [finding for check in checks for finding in _guarded(check)]


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
    free = shutil.disk_usage(paths.ROOT).free / 2**30
    short = free < DISK_GIB
    yield Finding(
        "disk",
        State.WARNING if short else State.OK,
        f"{free:.1f} GiB free here",
        f"free {DISK_GIB} GiB; `docker system df` shows the engine's part" if short else "",
    )


def _engine() -> Iterator[Finding]:
    client = engine.connect()
    with engine.plain_errors():
        info, version = client.info(), client.version()
        builder = client.api._get(client.api._url("/_ping")).headers.get("Builder-Version", "1")
    server = version["Version"]
    yield from (
        Finding(
            "engine", State.OK, f"answers at {engine.host()}: {info['OperatingSystem']}, kernel {info['KernelVersion']}"
        ),
        Finding(
            "versions",
            State.OK,
            f"server {server} (API {version['ApiVersion']}), command {_cli_version()}, Python SDK {docker.__version__}",
        ),
        Finding(
            "builder",
            State.OK,
            f"engine prefers {'BuildKit' if builder == '2' else 'the classic builder'}; command line: {_cli_builder()}; ours: the classic build call",
        ),
        Finding(
            "cgroup",
            State.OK,
            f"version {info.get('CgroupVersion', '1')}, driver {info.get('CgroupDriver', 'unknown')}",
        ),
        Finding("storage", State.OK, f"{info['Driver']} in {info['DockerRootDir']}"),
        Finding("architecture", State.OK, info["Architecture"]),
        Finding("runtimes", State.OK, ", ".join(sorted(info.get("Runtimes", {}))) or "none reported"),
    )


def _cli_version() -> str:
    if not shutil.which("docker"):
        return "not installed"
    return (
        subprocess.run(["docker", "--version"], capture_output=True, text=True)
        .stdout.strip()
        .removeprefix("Docker version ")
        or "broken"
    )


def _cli_builder() -> str:
    if not shutil.which("docker"):
        return "none"
    buildx = subprocess.run(["docker", "buildx", "version"], capture_output=True, text=True)
    return "BuildKit (buildx)" if buildx.returncode == 0 else "the classic builder (no buildx)"


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
    yield Finding("accelerator", state, f"{chosen.label}: {proven}", chosen.reason)


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
