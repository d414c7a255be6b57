"""On what a measurement was made: enough for a stranger to judge it, nothing that names the reader."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psutil

import boxlab
from boxlab import engine, images, paths
from boxlab.language import _, several


def collect() -> dict[str, Any]:
    """Facts about the host, the engine, the images and this code, as plain data.

    Raises:
        EngineError: the engine does not answer.
    """
    return {"host": host(), "engine": engine_facts(), "images": image_facts(), "code": code()}


DOCKER = "Docker Engine"


def in_words(facts: dict[str, Any]) -> str:
    """The machine and the engine of what `collect` has found, in a few words."""
    host, engine = facts["host"], facts["engine"]
    values = {
        "cpu": host["cpu"],
        "cpus": several("{count} CPU", "{count} CPUs", host["cpus"]),
        "kernel": host["kernel"],
    }
    if host["is_virtual"]:
        machine = _("{cpu}, {cpus}, kernel {kernel}, itself a virtual machine", **values)
    else:
        machine = _("{cpu}, {cpus}, kernel {kernel}", **values)
    name = engine.get("name", DOCKER)  # records of an earlier day have none
    rootless = [_("rootless")] if boxlab.engine.ROOTLESS in (engine.get("security") or ()) else []
    apart = engine.get("shares_our_kernel") is False
    elsewhere = [_("in a machine of its own, kernel {kernel}", kernel=engine["kernel"])] if apart else []
    parts = [
        f"{name} {engine['version']}",
        *elsewhere,
        *rootless,
        engine["storage_driver"],
        f"cgroup v{engine['cgroup_version']}",
    ]
    return f"{machine}; {', '.join(parts)}"


def host() -> dict[str, Any]:
    """The machine that Python runs on."""
    cpuinfo = _read("/proc/cpuinfo")
    return {
        "system": _system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu": _cpu(cpuinfo),
        "cpus": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "is_virtual": _is_virtual(cpuinfo),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None,
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }


def _is_virtual(cpuinfo: str) -> bool | None:
    """Whether the kernel sees a hypervisor beneath; None where it does not say, as on arm64."""
    flags = re.search(r"^flags\b.*", cpuinfo, re.MULTILINE)
    return bool(re.search(r"\bhypervisor\b", flags[0])) if flags else None


def _cpu(cpuinfo: str) -> str:
    """What the processor is called: by the kernel, or on arm64, where that has only numbers, by lscpu; else its architecture."""
    if not (found := re.search(r"^model name\s*: (.+)", cpuinfo, re.MULTILINE)) and shutil.which("lscpu"):
        listed = subprocess.run(["lscpu"], capture_output=True, text=True, env=os.environ | {"LC_ALL": "C"}).stdout
        found = re.search(r"^Model name: +([^-\s].*)", listed, re.MULTILINE)
    named = platform.processor()
    return found[1].strip() if found else platform.machine() if named in ("", "unknown") else named


def engine_facts() -> dict[str, Any]:
    """The engine that runs the containers, which need not be on this machine's own kernel."""
    with engine.plain_errors():
        client = engine.connect()
        info, version = client.info(), client.version()
    components = {c["Name"].lower(): c["Version"] for c in version.get("Components") or ()}
    return {
        "name": "Podman" if engine.is_podman() else DOCKER,
        "version": version["Version"],
        "api": version["ApiVersion"],
        "containerd": components.get("containerd"),
        "runc": components.get("runc"),
        "system": info["OperatingSystem"],
        "kernel": info["KernelVersion"],
        "shares_our_kernel": engine.is_local(),
        "cgroup_version": info.get("CgroupVersion", "1"),
        "storage_driver": info["Driver"],
        "default_runtime": info.get("DefaultRuntime"),
        "security": info.get("SecurityOptions") or [],
    }


def image_facts() -> dict[str, Any]:
    """The images that are there now, and where their base came from."""
    there = images.there()
    return {
        "base_origin": there["base"].labels.get(images.ORIGIN_LABEL) if "base" in there else None,
        "ids": {name: image.id for name, image in sorted(there.items())},
    }


def code() -> dict[str, Any]:
    """This code's version, and the commit where it is a checkout."""

    # A hook, or a rebase, has variables that lead git to its own repository.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> str | None:
        try:
            return subprocess.run(
                ["git", *arguments], cwd=paths.ROOT, env=env, capture_output=True, text=True, check=True
            ).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None  # no git, or not a checkout: the version alone must do

    status = git("status", "--porcelain", "--", "src", "images")
    return {
        "version": boxlab.__version__,
        "commit": git("rev-parse", "HEAD"),
        "modified": bool(status) if status is not None else None,
    }


def _read(path: str) -> str:
    """A file of the kernel's, or nothing where it has none such."""
    file = Path(path)
    return file.read_text(errors="replace") if file.exists() else ""


def _system() -> str:
    """The operating system, as it calls itself."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:  # no Linux
        return platform.platform()
