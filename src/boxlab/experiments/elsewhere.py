"""Which differences between two computers does an image remove? One program for each, run on both, outside an image and inside one.

The computers are two containers with an engine each, `here` and `there`: two sets of files, two sessions, two engines. What they cannot
have apart is the kernel and the processor of this machine. So it is the program that is of another processor, not the computer.
"""

import struct
import time
from dataclasses import dataclass, field
from typing import Unpack

from boxlab import images, records
from boxlab.errors import EngineError, NotReady
from boxlab.experiments import blocks
from boxlab.language import _
from boxlab.second_engine import SecondEngine

PYTHON = "/opt/venv/bin/python3"
"""The usual Python of the base image, which both computers have."""

FILES = 64
"""How many files a program may have open on the other computer."""

PORTS_FROM = "net.ipv4.ip_unprivileged_port_start"
"""The kernel's setting that says from which port on a program may open ports without being root."""

HELLO = "/opt/hello"
"""A program without Python: machine code, on `there` of the other architecture."""


@dataclass(frozen=True)
class Cause:
    """A difference between the computers, and a program that it changes.

    Attributes:
        program: Python; it prints an answer.
        answer: the right one.
        here, there: variables of the session on each computer.
        command: what starts Python on the other computer, outside.
        options: of `docker run`, for what an image is given from outside.
        network: of the container that the image is run in.
    """

    program: str
    answer: str
    here: dict[str, str] = field(default_factory=dict)
    there: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = (PYTHON,)
    options: tuple[str, ...] = ()
    network: str = "none"


LIBRARY = """
from packaging.version import InvalidVersion, parse
def known(text):
    try:
        parse(text)
    except InvalidVersion:
        return False
    return True
print([text for text in ("1.9", "final") if known(text)])
"""

LOCALE = """
from pathlib import Path
file = Path("/tmp/city.txt")
file.write_bytes("Z\\u00fcrich".encode())
print(len(file.read_text()))
"""

CAUSES = {
    "interpreter": Cause(
        "import tomllib; print(tomllib.loads('rate = 19')['rate'])", "19", command=("/opt/elsewhere/bin/python3",)
    ),
    "library": Cause(LIBRARY, "['1.9']", there={"PYTHONPATH": "/opt/elsewhere/library"}),
    "system-library": Cause(
        "import sqlite3; print(*sqlite3.connect(':memory:').execute('select 6 * 7').fetchone())", "42"
    ),
    "locale": Cause(LOCALE, "6", there={"LC_ALL": "en_US.ISO-8859-1"}),
    "time-zone": Cause("from datetime import datetime; print(datetime.fromtimestamp(1767281400).date())", "2026-01-01"),
    "architecture": Cause(
        f"import subprocess; print(subprocess.check_output(['{HELLO}'], text=True).strip())", "hello"
    ),
    "limit": Cause(
        "print(len([open('/dev/null') for number in range(200)]))",
        "200",
        command=("sh", "-c", f'ulimit -n {FILES}; exec "$0" "$@"', PYTHON),
    ),
    "setting": Cause(
        "import os, socket; os.setuid(1000); socket.socket().bind(('', 80)); print('open')",
        "open",
        network="host",  # a network of its own has settings of its own
    ),
    "variable": Cause(
        "import os; print(100 + int(os.environ['RATE']))",
        "119",
        here={"RATE": "19"},
        there={"RATE": "21"},
        options=("--env", "RATE"),
    ),
    "data": Cause("print(sum(map(int, open('/srv/prices.txt'))))", "60", options=("--volume", "/srv:/srv:ro")),
}

ARMS = {
    "interpreter": _("interpreter"),
    "library": _("library"),
    "system-library": _("system library"),
    "locale": _("locale"),
    "time-zone": _("time zone"),
    "architecture": _("CPU architecture"),
    "limit": _("kernel's limit of files"),
    "setting": _("kernel's setting for ports"),
    "variable": _("environment variable"),
    "data": _("data"),
}

METRICS = {
    "seconds": {"unit": "s", "label": _("for all four runs")},
    "outside": {"unit": "1", "label": _("outside an image")},
    "inside": {"unit": "1", "label": _("in the same image")},
}

MEASURES = (
    "Two computers, each a container with files and an engine of its own, differ in one thing. A program that gives the right answer on "
    "the first is run on the second: outside, with that computer's own files and session; inside, by that computer's engine, "
    "in an image that was loaded on both. 1: the second computer gives the same answer; 0: another one, or an error. Kernel and "
    "processor are this machine's for both, so for the architecture the program, and its image, is of the other one. "
    f"The limit of open files on the second computer is {FILES}. Its kernel's {PORTS_FROM} is 1024, and 0 on the first; the program that "
    "opens a port runs inside on the computer's own network, since each network has a setting of its own."
)


def elsewhere(**options: Unpack[blocks.Options]) -> records.Record:
    """Run a program for each difference on two computers, outside an image and inside one. Arguments as for `startup`.

    Each sample notes the answer of the first computer, and both of the other.

    Raises:
        EngineError: the engine does not answer, or one of the two does not come up.
    """
    image = images.ensure("carried").tag
    limit = {"default-ulimits": {"nofile": {"Name": "nofile", "Hard": FILES, "Soft": FILES}}}
    with (
        SecondEngine(hostname="here", image="elsewhere") as here,
        SecondEngine(hostname="there", image="elsewhere", settings=limit) as there,
    ):
        for computer, port in ((here, 0), (there, 1024)):
            computer.load(image)
            computer.run("sysctl", "--write", f"{PORTS_FROM}={port}")
        _furnish(here, "10\n20\n30\n", "UTC", other=False)
        _furnish(there, "10\n20\n", "Asia/Seoul", other=True)
        there.run("find", "/usr/lib", "-name", "libsqlite3.so.0*", "-exec", "mv", "{}", "/opt/elsewhere/", ";")

        def measure(record: records.Record, sample: records.Sample) -> None:
            cause, began = CAUSES[sample.arm], time.monotonic()
            inside = ["docker", "run", "--rm", "--network", cause.network]
            inside += (
                ["hello"] if sample.arm == "architecture" else [*cause.options, image, "python3", "-c", cause.program]
            )
            try:
                for ours in ([PYTHON, "-c", cause.program], inside):
                    if (said := answer(here, cause.here, ours)) != cause.answer:
                        raise NotReady(_("the first computer says {answer}", answer=said))
                outside = answer(there, cause.there, [*cause.command, "-c", cause.program])
                carried = answer(there, cause.there, inside)
            except EngineError as error:
                raise NotReady(str(error)) from error
            sample.notes |= {"here": cause.answer, "outside": outside, "inside": carried}
            sample.values |= {
                "seconds": time.monotonic() - began,
                "outside": float(outside == cause.answer),
                "inside": float(carried == cause.answer),
            }

        return blocks.run(
            "elsewhere",
            [{"kind": kind, "emulated": False, "phases": {}, "details": {"engine": there.version}} for kind in CAUSES],
            measure,
            metrics=METRICS,
            measures=MEASURES,
            usual=lambda profile: profile.steady // 2,
            warm_up=0,
            **options,
        )


def answer(computer: SecondEngine, session: dict[str, str], command: list[str]) -> str:
    """The last line that a command prints in a session on a computer, on either stream: its answer, or its error.

    Raises:
        EngineError: the engine does not answer.
    """
    variables = [f"{name}={value}" for name, value in session.items()]
    return computer.run("env", *variables, "sh", "-c", '"$@" 2>&1 | tail -n 1', "sh", *command).strip()


def hello(architecture: str) -> bytes:
    """A Linux program of a few instructions that prints a line.

    Args:
        architecture: amd64 or arm64.
    """
    text = b"hello\n"
    if architecture == "amd64":
        machine = 62
        before, after = "b801000000bf01000000488d3510000000ba", "0f05b83c00000031ff0f05"
        code = bytes.fromhex(before) + struct.pack("<I", len(text)) + bytes.fromhex(after)
    else:
        machine, length = 183, 0xD2800002 | len(text) << 5
        words = [0xD2800020, 0x100000E1, length, 0xD2800808, 0xD4000001, 0xD2800000, 0xD2800BA8, 0xD4000001]
        code = struct.pack("<8I", *words)
    start, size = 0x400000, 120 + len(code) + len(text)
    head = (b"\x7fELF", 2, 1, 1, 0, 0, 2, machine, 1, start + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, size, size, 4096)
    return struct.pack("<4s5B7xHHIQQQIHHHHHH", *head) + segment + code + text


def _furnish(computer: SecondEngine, prices: str, zone: str, *, other: bool) -> None:
    """Give a computer its data, its time zone, and machine code with an image of it, on request of the other architecture."""
    own = computer.docker("version", "--format", "{{.Server.Arch}}").strip()
    architecture = {"amd64": "arm64", "arm64": "amd64"}[own] if other else own
    script = (
        'printf %s "$1" >/srv/prices.txt && ln -sf "/usr/share/zoneinfo/$2" /etc/localtime && echo "$2" >/etc/timezone '
        f'&& "$5" -c "import sys; open(sys.argv[1], \'wb\').write(bytes.fromhex(sys.argv[2]))" {HELLO} "$3" && chmod 755 {HELLO} '
        f'&& tar -cC /opt hello | docker import --platform "linux/$4" --change \'CMD ["/hello"]\' - hello'
    )
    computer.run("sh", "-c", script, "sh", prices, zone, hello(architecture).hex(), architecture, PYTHON)
