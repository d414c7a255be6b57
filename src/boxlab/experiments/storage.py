"""What does a write cost, by the place that it goes to: the container's own layer, a volume, a folder of the host, or memory?"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

from docker.types import Mount

from boxlab import images, marks, records
from boxlab.errors import EngineError, NotReady
from boxlab.experiments import blocks
from boxlab.experiments.dockerfile import built, workplace
from boxlab.language import _
from boxlab.runtimes.console import Console
from boxlab.runtimes.spawn import EngineContainer

FILE_MIB = 64
"""Size of the file that is there already, and of the one that is written."""

FSYNCS = 50
"""How many small writes are each followed by fsync."""

READY_S = 120
"""How long the writes of one container may take; a disk in a virtual machine can be slow."""

PLACE = "/data"

PROGRAM = f"""
import json, os, statistics, time

def clocked(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

def append():
    with open("{PLACE}/there", "ab") as file:
        file.write(b"x")

def write():
    with open("{PLACE}/new", "wb") as file:
        for _ in range({FILE_MIB}):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())

def save():
    file.write(b"x" * 4096)
    file.flush()
    os.fsync(file.fileno())

block = os.urandom(1 << 20)
if not os.path.exists("{PLACE}/there"):  # in memory, where nothing outlives a container
    with open("{PLACE}/there", "wb") as file:
        for _ in range({FILE_MIB}):
            file.write(block)
os.sync()
values = {{"first": clocked(append), "second": clocked(append), "write": clocked(write)}}
with open("{PLACE}/small", "wb") as file:
    values["fsync"] = statistics.median(clocked(save) for _ in range({FSYNCS}))
print("wrote", json.dumps(values), flush=True)
"""
"""Appends a byte twice to a file that is there, writes a file as large, and saves small pieces one by one."""

DOCKERFILE = f"""
RUN mkdir {PLACE}
RUN head -c {FILE_MIB << 20} /dev/urandom > {PLACE}/there
"""

ARMS = {
    "layer": _("writable layer"),
    "volume": _("volume"),
    "bind": _("bind mount"),
    "tmpfs": _("tmpfs"),
}

METRICS = {
    "first": {"unit": "s", "label": _("first append to a file that's there")},
    "second": {"unit": "s", "label": _("second append")},
    "write": {"unit": "s", "label": _("write {size} MiB, and fsync", size=FILE_MIB)},
    "fsync": {"unit": "s", "label": _("write 4 KiB, and fsync")},
}

MEASURES = (
    f"A new container each time, of an image with a file of {FILE_MIB} MiB; the volume is new and filled from the image, and the "
    "folder of the bind mount holds one like it, of random bytes too. After a sync, a program in the container appends one byte to the file, twice (open, "
    f"write, close), writes a new file of {FILE_MIB} MiB with one fsync at its end, and writes 4 KiB with fsync {FSYNCS} times, "
    "of which the median counts. All by the clock of the container."
)


def storage(**options: Unpack[blocks.Options]) -> records.Record:
    """Write in each place, in a new container each time. Arguments as for `startup`.

    Where the engine does not see this checkout's folders, the bind mount is left out.

    Raises:
        BuildError: the image with the file does not build.
        EngineError: the engine does not answer.
    """
    with _image() as image, _folder() as folder:
        left_out = {}
        if reason := _unseen(image, folder):
            left_out["bind"] = {"reason": reason, "phases": []}

        def measure(record: records.Record, sample: records.Sample) -> None:
            _fill(folder)
            sample.values |= _written(image, _options(sample.arm, folder))

        return blocks.run(
            "storage",
            [
                {"kind": kind, "emulated": False, "phases": {}, "details": {"file_mib": FILE_MIB}}
                for kind in ARMS
                if kind not in left_out
            ],
            measure,
            metrics=METRICS,
            measures=MEASURES,
            left_out=left_out,
            usual=lambda profile: profile.steady,
            **options,
        )


@contextmanager
def _image() -> Iterator[str]:
    """The image with the file, gone afterwards.

    Raises:
        BuildError: it does not build.
    """
    images.ensure("base")
    tag = images.passing("storage")
    with workplace() as folder:
        (folder / "Dockerfile").write_text(f"FROM {images.own('base')}{DOCKERFILE}")
        built(folder, tag)
        yield tag


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder of this machine for the bind mount, gone afterwards with what containers left in it."""
    folder = marks.workplace("storage")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _fill(folder: Path) -> None:
    """Lay a file into the folder like that of the image: of bytes that no file system makes smaller."""
    for name in ("new", "small"):
        (folder / name).unlink(missing_ok=True)
    (folder / "there").write_bytes(os.urandom(FILE_MIB << 20))


def _options(kind: str, folder: Path) -> dict[str, Any]:
    """How the SDK mounts a place; an anonymous volume goes with its container."""
    return {
        "layer": {},
        "volume": {"mounts": [Mount(PLACE, None, "volume")]},
        "bind": {"mounts": [Mount(PLACE, str(folder), "bind")]},
        "tmpfs": {"mounts": [Mount(PLACE, None, "tmpfs")]},
    }[kind]


def _unseen(image: str, folder: Path) -> str:
    """Why the engine cannot mount a folder of this machine; nothing where it can."""
    (folder / "seen").touch()
    try:
        box = EngineContainer(image, ["ls", PLACE], network_mode="none", **_options("bind", folder))
        try:
            Console(box, {"seen": "^seen"}, time.monotonic()).wait_for("seen", READY_S)
        finally:
            box.stop(grace_s=0)
    except (EngineError, NotReady) as error:
        return str(error.args[0])
    finally:
        (folder / "seen").unlink()
    return ""


def _written(image: str, options: dict[str, Any]) -> dict[str, float]:
    """Seconds that each write took in one new container.

    Raises:
        NotReady: it does not come to its end.
    """
    box = EngineContainer(image, ["python3", "-c", PROGRAM], network_mode="none", **options)
    try:
        said = Console(box, {}, time.monotonic()).next(r"^wrote (.*)", READY_S)
        values: dict[str, float] = json.loads(said)
        return values
    finally:
        box.stop(grace_s=0)
