"""Run a program that a learner wrote, with limits: it ends, what it printed is bounded, and nothing of it is left."""

import contextlib
import os
import resource
import secrets
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from boxlab import cgroups, marks
from boxlab.errors import BoxlabError
from boxlab.interrupts import deferred
from boxlab.labs.checks import Mismatch, printed

TOKEN = "BOXLAB_PROGRAM"
"""Environment variable by which the processes of one program are known, whoever their parent is by now."""

GONE_S = 10
"""How long killed processes may take to go."""


@dataclass(frozen=True)
class Ran:
    """A program that has ended.

    Attributes:
        status: its exit status; negative where a signal ended it.
        output: what it printed, on either stream.
        seconds: from its start to its end.
        cwd: where it ran.
    """

    status: int
    output: str
    seconds: float
    cwd: Path

    @property
    def shown(self) -> str:
        """What it printed, for a message: a traceback names the learner's files as the learner does."""
        return printed(self.output.replace(f"{self.cwd}/", ""))


def run(
    argv: list[str],
    *,
    cwd: Path,
    input: str = "",
    seconds: float = 10,
    output_kib: int = 256,
    processes: int = 64,
    memory_mib: int = 1024,
    environment: dict[str, str] | None = None,
    name: str = "",
    next: str = "",
) -> Ran:
    """Run a program to its end.

    Args:
        argv: the command; "python" stands for the Python that runs the checks.
        cwd: where.
        input: what it reads.
        seconds: how long it may take.
        output_kib: how much it may print.
        processes: how many it may have at once.
        memory_mib: address space of each process.
        name: what messages call it; by default, the command.
        next: what the learner should do if it does not end; by default, run it.
        environment: more variables; of ours it gets only what finds commands and the engine.

    Raises:
        Mismatch: it did not end, printed too much or is not there.
        BoxlabError: it could not be held or removed.
    """
    token = secrets.token_hex(8)
    name = name or " ".join(argv)
    argv = [sys.executable if argv[0] == "python" else argv[0], *argv[1:]]
    began = time.monotonic()
    with _group(processes) as group:

        def limit() -> None:
            """In the new process, before the program."""
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                signal.signal(number, signal.SIG_DFL)  # whoever runs the checks may have them ignored
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_AS, (memory_mib << 20, memory_mib << 20))
            resource.setrlimit(resource.RLIMIT_FSIZE, (256 << 20, 256 << 20))
            if group:
                group.join(0)
            elif os.geteuid():
                most = processes + owned
                resource.setrlimit(resource.RLIMIT_NPROC, (most, most))

        owned = 0 if group else _owned()
        process = None
        try:
            with deferred():
                process = subprocess.Popen(
                    argv,
                    cwd=cwd,
                    env=_environment() | (environment or {}) | {TOKEN: token},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=limit,
                )
            output, trouble = _talk(process, input.encode(), began + seconds, output_kib << 10)
            if not trouble:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, began + seconds - time.monotonic()))
                trouble = "" if process.returncode is not None else "it closed its output and did not end"
            took = time.monotonic() - began
        except (FileNotFoundError, PermissionError) as error:
            if Path(error.filename) == cwd:
                raise Mismatch(
                    f"the folder in which {name} runs is there",
                    f"{error.strerror}: a program that ran there before has removed it, or its permissions",
                    "programs run one after another in one folder",
                    "leave the folder as it is",
                ) from error
            actual = f"{error.filename}: {error.strerror}"
            raise Mismatch(f"{name} runs", actual, "it is what the lab is about", "look at its name") from error
        finally:
            if process:
                with deferred():
                    _end(process, token, group)
    ran = Ran(process.returncode, output.decode(errors="replace"), took, cwd)
    if trouble:
        raise Mismatch(
            f"{name} ends within {seconds:g} s and prints at most {output_kib} KiB",
            f"{trouble}; it printed:\n{ran.shown}",
            "a program that does not end, or floods its output, cannot be used by another",
            next or f"run it yourself in your folder: {name}",
        )
    return ran


def _environment() -> dict[str, str]:
    """What a program gets of our environment: a proxy, whose address may hold a password, where the engine is behind it."""
    kept = {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK"}
    kept |= {name for name in os.environ if name.startswith("DOCKER_") and name != "DOCKER_AUTH_CONFIG"}
    kept |= {"NO_PROXY", "no_proxy"}
    if os.environ.get("DOCKER_HOST", "").startswith("tcp://"):
        kept |= {name for name in os.environ if name.lower() in ("http_proxy", "https_proxy")}
    ours = marks.environment() | {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    return {name: os.environ[name] for name in kept if name in os.environ} | ours


def _talk(process: subprocess.Popen, data: bytes, deadline: float, most: int) -> tuple[bytes, str]:
    """Write its input and read its output until it closes that; what it printed, and what was wrong with it."""
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        os.set_blocking(process.stdin.fileno(), False)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        while True:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready and time.monotonic() >= deadline:
                return output, "it did not end"
            for key, _ in ready:
                if key.fileobj is process.stdin:
                    with contextlib.suppress(BrokenPipeError):
                        data = data[os.write(key.fd, data[:4096]) :] if data else data
                        if data:
                            continue
                    selector.unregister(process.stdin)
                    with contextlib.suppress(BrokenPipeError):
                        process.stdin.close()
                    continue
                chunk = os.read(key.fd, 1 << 16)
                output += chunk
                if not chunk:
                    return output, ""
                if len(output) > most:
                    return output[:most], f"it printed more than {most >> 10} KiB"


def _end(process: subprocess.Popen, token: str, group: cgroups.Group | None) -> None:
    """Kill what is left of a program: its process group, its control group, and whoever carries its token.

    Raises:
        BoxlabError: something does not go.
    """
    deadline = time.monotonic() + GONE_S
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # at once for all of it, so that forking does not outrun it
    process.wait()
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(BrokenPipeError):
            stream.close()
    while left := (group.members() if group else []) or [process.pid for process in marks.processes({TOKEN: token})]:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise BoxlabError(f"{len(left)} processes of the program do not end", "restart the machine")
        time.sleep(0.005)


def _owned() -> int:
    """How many tasks this user has, which the kernel counts into the limit."""
    mine, count = os.getuid(), 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == mine:
                count += process.num_threads()
    return count


@contextlib.contextmanager
def _group(processes: int) -> Iterator[cgroups.Group | None]:
    """A control group that holds so many processes, for root alone, whom the usual limit does not bind.

    Raises:
        BoxlabError: we are root and none can be made, so that nothing would stop a program that forks without end.
    """
    if os.geteuid() or not sys.platform.startswith("linux"):
        yield None
        return
    try:
        group = cgroups.make(marks.name(), processes=processes)
    except OSError as error:
        raise BoxlabError(
            f"no control group can be made to hold the program: {error}", "run the check as a user who is not root"
        ) from error
    try:
        yield group
    finally:
        group.remove()
