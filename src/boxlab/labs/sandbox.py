"""Run a program that a learner wrote: it shares nothing with whoever judges it, its output is bounded, and nothing of it is left.

The usual sandbox is a container of its own for each program: no network, no capabilities, no more privileges, a read-only system,
limits, and a user who owns nothing else. Where there is no engine, and the lab needs none, it is a process of this user with
limits, in a folder of its own. In both, launch.py starts the program and says how it ended.
"""

import contextlib
import ctypes
import json
import os
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psutil

from boxlab import cgroups, disk, marks
from boxlab.errors import BoxlabError, NotReady
from boxlab.interrupts import deferred
from boxlab.labs.checks import SLACK, Mismatch, printed
from boxlab.language import _, several

if TYPE_CHECKING:  # whoever has no engine need not wait for its library
    from boxlab.runtimes.spawn import EngineContainer, HostProcess

LAUNCH = Path(__file__).with_name("launch.py").read_text(encoding="utf-8")

IMAGE = "learner"
"""Where programs run in a container, as a user of its own."""

FOLDER, FOLDER_MIB = "/lab", 64
"""Where a program finds its files in a container, and how much it may write there."""

TOKEN = "BOXLAB_PROGRAM"
"""Environment variable by which the processes of one program are known where no container holds them."""

GONE_S = 10
"""How long killed processes may take to go."""

ENDED, ASKS = b"\n\x1e", b"\x1e"
"""How the line begins that launch.py adds when the program has ended, and one by which a program asks whoever serves it."""

Serve = Callable[[Any], Any]
"""Answers what a program asks; both are what JSON can hold."""


@dataclass(frozen=True)
class Limits:
    """What one program may take.

    Attributes:
        seconds: until it has ended.
        output_kib: of output.
        processes: at once.
        memory_mib: address space of each process; in a container, memory of all of them together as well.
    """

    seconds: float = 10
    output_kib: int = 256
    processes: int = 64
    memory_mib: int = 1024


@dataclass(frozen=True)
class Ran:
    """A program that has ended.

    Attributes:
        status: its exit status; negative where a signal ended it.
        output: what it printed, on either stream.
        seconds: from its start to its end.
        folder: where it ran.
    """

    status: int
    output: str
    seconds: float
    folder: str

    @property
    def shown(self) -> str:
        """What it printed, for a message: a traceback names the learner's files as the learner does."""
        return printed(self.output.replace(f"{self.folder}/", ""))


class _Box(Protocol):
    """What runs launch.py for one program."""

    folder: str
    environment: dict[str, str]
    processes: int | None
    """What launch.py has to hold, where nothing else does."""

    def spawned(self) -> "HostProcess | EngineContainer":
        """What to talk to."""

    def end(self) -> None:
        """Kill and remove all of it."""


class Sandbox(Protocol):
    """A way to start programs."""

    @property
    def python(self) -> str:
        """Its own Python."""

    @property
    def held(self) -> str:
        """What holds the programs, for the report; empty where it is the usual."""

    def start(self, limits: Limits) -> _Box:
        """A box in which launch.py waits for its job."""


def choose(needs_engine: bool) -> Sandbox:
    """Containers; where none can be had, and the lab needs none, processes of this user.

    Raises:
        BoxlabError: the lab needs an engine, and it is in the way.
    """
    from boxlab import images

    try:
        return Containers(images.ensure(IMAGE).tag)
    except BoxlabError as error:
        if needs_engine:
            raise
        return Processes(
            _(
                "your program ran as a process of yours, with limits, and not in a container: {reason}",
                reason=error.args[0],
            )
        )


def run(
    sandbox: Sandbox,
    argv: list[str],
    files: dict[str, bytes],
    *,
    input: str = "",
    serve: Serve | None = None,
    known: dict[str, bytes] | None = None,
    serve_known: Serve | None = None,
    name: str = "",
    next: str = "",
    **limits: Any,
) -> Ran:
    """Run a program to its end.

    Args:
        argv: the command; "python" stands for the sandbox's own.
        files: what lies in its folder, by relative path; it changes a copy that no other program sees.
        input: what it reads, unless `serve` answers it.
        serve: called with what it asks, a line each that begins with `ASKS`; those are no output.
        known: the files of an answer that is right, which shows whether one ends in time here; by default, a program that does
            nothing shows it.
        serve_known: answers what that one asks; by default, `serve`.
        name: what messages call it; by default, the command.
        next: what the learner should do if it does not end; by default, run it.
        limits: see `Limits`.

    Raises:
        Mismatch: it did not end though the other did in a part of that time (`SLACK`), printed too much, or is not there.
        BoxlabError: it could not be held or removed, or what is right does not end in time here either.
    """
    bounds, name = Limits(**limits), name or " ".join(argv)
    talk = _let_run(sandbox, argv, files, input, serve, bounds)
    if talk.trouble == LATE:
        bounded = replace(bounds, seconds=bounds.seconds / SLACK)
        if known is None:
            control = _let_run(sandbox, ["python", "-c", ""], {}, "", None, bounded)
            whose = _("a program that does nothing")
        else:
            control = _let_run(sandbox, argv, known, input, serve_known or serve, bounded)
            whose = _("the lab's own solution")
        if control.trouble == LATE:
            raise BoxlabError(
                _("{program} does not end within {seconds:g} s here either", program=whose, seconds=bounded.seconds),
                _("check again when the machine is less busy"),
            )
    if talk.failed:
        raise Mismatch(
            _("{program} runs", program=name), talk.failed, _("it is what the lab is about"), _("look at its name")
        )
    ran = Ran(talk.status, talk.output.decode(errors="replace"), talk.seconds, talk.folder)
    if talk.trouble:
        raise Mismatch(
            _(
                "{program} ends within {seconds:g} s and prints at most {size} KiB",
                program=name,
                seconds=bounds.seconds,
                size=bounds.output_kib,
            ),
            _("{trouble}; it printed:\n{output}", trouble=talk.trouble, output=ran.shown),
            _("a program that does not end, or floods its output, cannot be used by another"),
            next or _("run it yourself in your folder: {command}", command=name),
        )
    return ran


LATE = _("it did not end")

LOOK_S = 1.0
"""How often we look whether a program has had its time. Between two looks no more than this counts, so that a machine that
sleeps, or that is frozen, takes none of it."""


@dataclass
class _Talk:
    """What passes between a program and us.

    Attributes:
        left: seconds that it still has.
        trouble: why we stopped listening before its end.
        status, seconds, failed, kept: what launch.py says in the end; the last two are why it was not started.
    """

    folder: str
    left: float = 0
    output: bytes = b""
    trouble: str = ""
    status: int = 0
    seconds: float = 0
    failed: str = ""
    kept: str = ""

    def wait(self, look: Callable[[float], Any]) -> Any:
        """What a look says, which is told how long it may take, and whose time is the program's; late where none is left."""
        looked = time.monotonic()
        found = look(min(LOOK_S, max(0.0, self.left)))
        self.left -= min(LOOK_S, time.monotonic() - looked)
        if found in (None, False) and self.left <= 0:
            self.trouble = LATE
        return found


def _let_run(
    sandbox: Sandbox, argv: list[str], files: dict[str, bytes], input: str, serve: Serve | None, limits: Limits
) -> _Talk:
    """Run a program until it ends or has to be ended.

    Raises:
        BoxlabError: the machine kept it from being started, held or removed.
    """
    secret = secrets.token_hex(16)
    with deferred():
        box = sandbox.start(limits)
    try:
        talk = _Talk(box.folder)
        job = {
            "argv": [sandbox.python if argv[0] == "python" else argv[0], *argv[1:]],
            "environment": box.environment,
            "memory_mib": limits.memory_mib,
            "processes": box.processes,
            "files": {name: content.decode("latin-1") for name, content in files.items()},
            "input": None if serve else input,
            "secret": secret,
        }
        head = json.dumps(job).encode()
        box.spawned().send(b"%010d" % len(head) + head)
        _listen(box, talk, ENDED + secret.encode(), limits, serve)
        if talk.kept:
            raise BoxlabError(
                _("this machine keeps a program from starting: {reason}", reason=talk.kept),
                _("allow more, as `ulimit -a` shows it, and check again"),
            )
        return talk
    except NotReady as error:
        raise BoxlabError(
            _("the sandbox of a program: {reason}", reason=error.args[0]), _("check again; if it stays so, report it")
        ) from error
    finally:
        with deferred():
            box.end()


def _listen(box: _Box, talk: _Talk, ended: bytes, limits: Limits, serve: Serve | None) -> None:
    """Take what the program prints, and answer what it asks, until launch.py says that it has ended.

    Raises:
        NotReady: launch.py has gone without a word.
    """
    from boxlab.runtimes.spawn import OUT_OF_MEMORY

    talk.left, rest = limits.seconds, b""
    while True:
        chunk = talk.wait(box.spawned().read)
        if chunk == b"":
            if (reason := box.spawned().exit_reason()) != OUT_OF_MEMORY:
                said = printed(rest[-300:].decode(errors="replace"))
                raise NotReady(_("it has ended: {reason}: {output}", reason=reason, output=said))
            talk.trouble = _("it took more than {size} MiB of memory", size=limits.memory_mib)
        elif chunk:
            rest += chunk
            before, found, last = rest.partition(ended)
            last, whole, _after = last.partition(b"\n")  # what it has left in the background may print once more
            if found and whole:
                talk.output += before
                for key, value in json.loads(last).items():
                    setattr(talk, key, value)
                return
            rest = _answered(box, talk, rest, serve) if serve else rest
            if len(talk.output) + len(rest) > limits.output_kib << 10:
                talk.trouble = _("it printed more than {size} KiB", size=limits.output_kib)
        if talk.trouble:
            talk.output = (talk.output + rest)[: limits.output_kib << 10]
            return


def _answered(box: _Box, talk: _Talk, data: bytes, serve: Serve) -> bytes:
    """Answer what is asked in complete lines, keep the other lines as output, and return what is no whole line yet."""
    *lines, rest = data.split(b"\n")
    for line in lines:
        if line.startswith(ASKS):
            with contextlib.suppress(ValueError, RecursionError):  # brackets without end
                _tell(box, talk, json.dumps(serve(json.loads(line[1:]))).encode() + b"\n")
                if (
                    talk.output.endswith(b"\n\n") or talk.output == b"\n"
                ):  # who may have printed half a line ends it first
                    talk.output = talk.output[:-1]
                if talk.trouble:
                    break
                continue
        talk.output += line + b"\n"
    return rest


def _tell(box: _Box, talk: _Talk, data: bytes) -> None:
    """Write to the program's input, which is full where it does not read, while it has time.

    Raises:
        NotReady: it has ended.
    """
    from boxlab.runtimes.spawn import PIECE

    for at in range(0, len(data), PIECE):
        while not talk.wait(box.spawned().takes):
            if talk.trouble:
                return
        box.spawned().send(data[at : at + PIECE])


SURROUNDINGS = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONUTF8": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}
"""Variables that every program has; numpy would start a thread for each processor, whose address space is counted."""


@dataclass(frozen=True)
class Containers:
    """Each program is a container of its own.

    Attributes:
        network: as `docker run --network` has it: none, or that of another container, which should have none beyond itself.
    """

    image: str
    held: str = ""
    python: str = "python3"
    network: str = "none"

    def start(self, limits: Limits) -> _Box:
        return _Container(self.image, limits, self.network)


class _Container:
    """launch.py as the first process of a container, which ends with it."""

    folder = FOLDER
    environment = SURROUNDINGS | {
        "HOME": FOLDER,
        "PATH": "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }
    processes: int | None = None

    def __init__(self, image: str, limits: Limits, network: str):
        from docker.types import LogConfig

        from boxlab.runtimes.spawn import EngineContainer

        # Podman gives no owner to a tmpfs, and an old engine no mode but the image's: images/learner has the same.
        writable = f"mode=0777,exec,size={FOLDER_MIB}m"
        self._spawned = EngineContainer(
            image,
            ["python3", "-c", LAUNCH],
            network_mode=network,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            read_only=True,
            tmpfs={FOLDER: writable, "/tmp": writable},
            mem_limit=f"{limits.memory_mib}m",
            memswap_limit=f"{limits.memory_mib}m",
            nano_cpus=10**9,
            pids_limit=limits.processes + 2,  # launch.py has two threads
            log_config=LogConfig(type="none"),  # what it prints comes to us, and fills no disk
        )

    def spawned(self) -> "EngineContainer":
        return self._spawned

    def end(self) -> None:
        self._spawned.stop(grace_s=0)


@dataclass(frozen=True)
class Processes:
    """Each program is a process of this user, held by limits, in a folder of its own."""

    held: str
    python: str = sys.executable

    def start(self, limits: Limits) -> _Box:
        return _Process(limits)


class _Process:
    """launch.py as a process of this user's."""

    def __init__(self, limits: Limits):
        from boxlab.runtimes.spawn import HostProcess

        _adopt()
        self._others = set(_below())
        self._token = secrets.token_hex(8)
        self._group = _group(limits.processes)
        self._place = marks.workplace("program")
        folder = self._place / "lab"  # one below, so that what it does to `..` is done to ours as well
        folder.mkdir()
        self.folder = str(folder)
        self.processes = None if self._group else _owned() + limits.processes
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        self.environment = kept | SURROUNDINGS | marks.environment() | {TOKEN: self._token}
        self._spawned: HostProcess | None = None
        try:
            self._spawned = HostProcess([sys.executable, "-I", "-c", LAUNCH], self.environment, cwd=folder)
            if self._group:
                self._group.join(self._spawned.pid)
        except BaseException:
            self.end()
            raise

    def spawned(self) -> "HostProcess":
        assert self._spawned, "it is made before anybody has the box"
        return self._spawned

    def end(self) -> None:
        """Kill all that the program has started: what is below us, in its control group, or carries its token.

        Raises:
            BoxlabError: something does not go.
        """
        if self._spawned:
            self._spawned.stop(grace_s=0)
        deadline = time.monotonic() + GONE_S
        while left := self._left():
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=0.1)
            if time.monotonic() > deadline:
                raise BoxlabError(
                    several(
                        "{count} processes of the program do not end",
                        "{count} processes of the program do not end",
                        len(left),
                    ),
                    _("restart the machine"),
                )
        if self._group:
            self._group.remove()
        disk.remove(self._place)

    def _left(self) -> list[psutil.Process]:
        found = {*_below(), *marks.processes({TOKEN: self._token})} - self._others
        for pid in self._group.members() if self._group else []:
            with contextlib.suppress(psutil.NoSuchProcess):
                found.add(psutil.Process(pid))
        return list(found)


def _adopt() -> None:
    """Become the parent of whatever loses its own below us, so that a program's processes cannot be lost (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER, linux/prctl.h


def _below() -> list[psutil.Process]:
    """The processes below this one."""
    return psutil.Process().children(recursive=True)


def _owned() -> int:
    """How many tasks this user has, which the kernel counts into the limit of processes."""
    mine, count = os.getuid(), 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == mine:
                count += process.num_threads()
    return count


def _group(processes: int) -> cgroups.Group | None:
    """A control group that holds so many processes, for root alone, whom the usual limit does not bind.

    Raises:
        BoxlabError: we are root and none can be made, so that nothing would stop a program that forks without end.
    """
    if os.geteuid() or not sys.platform.startswith("linux"):
        return None
    try:
        return cgroups.make(marks.name(), processes=processes)
    except OSError as error:
        raise BoxlabError(
            _("no control group can be made to hold the program: {reason}", reason=error),
            _("run the check as a user who is not root"),
        ) from error
