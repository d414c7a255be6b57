"""The two ways to bring something to life: a process of this host, and a container of the engine.

Both are a `console.Source` and both can be stopped; a box is one of them with a console on top.
"""

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker.errors
import psutil
import requests

from boxlab import engine, marks
from boxlab.errors import NotReady
from boxlab.interrupts import deferred, signal_group
from boxlab.language import _

STOP_S = 10
"""How long something may take to end when told to, before it is killed."""


PIECE = 512
"""Bytes for which there is room wherever `select` says that there is any: POSIX's least PIPE_BUF."""


KILLED = str(128 + signal.SIGKILL)
"""Exit status of a container that SIGKILL ended, as the engine notes it."""


OUT_OF_MEMORY = _("out of memory")
"""Why a container ended that the kernel killed for its memory."""


class HostProcess:
    """A process of this host, in a session of its own, with its input open and its output on a pipe.

    Args:
        workplace: a folder for its files, removed when it has been stopped or could not be started.

    Attributes:
        times: as for `EngineContainer`; here there are no calls to time, but when it had "ended", once it was stopped.
        id: of the container that it stands for, if it does.
    """

    id = ""

    def __init__(
        self,
        argv: list[str],
        environment: dict[str, str],
        pass_fds: tuple[int, ...] = (),
        cwd: Path | None = None,
        workplace: Path | None = None,
    ):
        self.times: dict[str, float] = {}
        self._workplace = workplace
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment | marks.environment(),
                start_new_session=True,
                pass_fds=pass_fds,
                cwd=cwd,
            )
        except BaseException:
            self._clear()
            raise
        assert self._process.stdin and self._process.stdout  # pipes
        self._input, self._output = self._process.stdin, self._process.stdout

    @property
    def pid(self) -> int:
        return self._process.pid

    def pids(self) -> list[int]:
        """Every process of this host that serves it."""
        return _with_children(self.pid)

    def read(self, timeout_s: float) -> bytes | None:
        ready = select.select([self._output], [], [], max(0.0, timeout_s))[0]
        return os.read(self._output.fileno(), 1 << 16) if ready else None

    def takes(self, timeout_s: float) -> bool:
        """Whether `send` need not wait for `PIECE` bytes, or no longer than that."""
        return bool(select.select([], [self._input], [], max(0.0, timeout_s))[1])

    def send(self, data: bytes) -> None:
        """Write to its input.

        Raises:
            NotReady: it has ended.
        """
        try:
            self._input.write(data)
            self._input.flush()
        except BrokenPipeError as error:
            raise NotReady(_("it has ended: {why}", why=self.exit_reason())) from error

    def exit_reason(self) -> str:
        if not self._ends_within(STOP_S):
            return _("it closed its output and went on")
        status = self._process.returncode
        if status < 0:
            return _("killed by {signal}", signal=signal.Signals(-status).name)
        return _("exit status {status}", status=status)

    def stop(self, grace_s: float | None = None) -> None:
        """End it by SIGTERM, and after `grace_s` seconds (by default `STOP_S`) by SIGKILL."""
        signal_group(self.pid, signal.SIGTERM)  # all of it: unshare, waiting for its child, does not listen
        self._ends_within(
            STOP_S if grace_s is None else grace_s
        )  # else it is deaf to SIGTERM, and not to the next line
        signal_group(self.pid, signal.SIGKILL)  # what it started itself is gone, too
        self._process.wait()
        self.times["ended"] = time.monotonic()  # what follows is our own
        with contextlib.suppress(BrokenPipeError):  # what it was sent last, nobody will read
            self._input.close()
        while self._workplace and self.read(STOP_S):  # until all that was killed is gone: none makes a file
            pass
        self._output.close()
        self._clear()

    def _clear(self) -> None:
        workplace, self._workplace = self._workplace, None
        if workplace:
            with contextlib.suppress(FileNotFoundError):  # a machine's watch does so where our end of its input closes
                shutil.rmtree(workplace)

    def _ends_within(self, seconds: float) -> bool:
        """Wait for its end, which Linux reports at once; `Popen.wait` would look for it ever less often."""
        if hasattr(os, "pidfd_open") and self._process.poll() is None:
            handle = os.pidfd_open(self.pid)
            try:
                select.select([handle], [], [], seconds)
            finally:
                os.close(handle)
            return self._process.poll() is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode is not None


ENDED = ("sandbox is not running", "container state improper", "sending signal to container")
"""What gVisor and Podman say of a container that has ended, that is being removed already, or that ends as it is signalled."""


class EngineContainer:
    """A container of the engine, attached before it starts, that removes itself when it ends.

    Its input closes with our connection: if this very Python process is killed, a workload that reads its input ends,
    and nothing stays behind.

    Args:
        host: settings of the engine's HostConfig that `options`, the SDK's create_host_config, do not know.
        stop_signal: what the engine stops it with in place of SIGTERM.
        environment: variables that it is given beside those of its image.
        apart: whether what it prints on stderr goes to `errors`, and not to who reads its output.

    Attributes:
        times: when each call to the engine had returned, on the host's monotonic clock.
        errors: the last 64 KiB that came apart.
    """

    def __init__(
        self,
        image: str,
        command: list[str] | None = None,
        hostname: str | None = None,
        host: dict[str, Any] | None = None,
        stop_signal: str | None = None,
        environment: dict[str, str] | None = None,
        apart: bool = False,
        **options: Any,
    ):
        self.errors = bytearray()
        with engine.plain_errors():
            self._api = api = engine.connect().api
            self._attached = None
            self.times: dict[str, float] = {}
            self.id = ""
            try:
                with deferred():  # or Ctrl-C might strike when it exists and we do not know of it yet
                    self.id = api.create_container(
                        image,
                        command,
                        stdin_open=True,
                        hostname=hostname or None,
                        stop_signal=stop_signal,
                        environment=environment,
                        ports=list(options.get("port_bindings", ())),
                        labels=engine.labels(),
                        host_config=api.create_host_config(auto_remove=True, **options) | (host or {}),
                    )["Id"]
                self.times["created"] = time.monotonic()
                self._attached = api.attach_socket(self.id, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
                self._socket = getattr(self._attached, "_sock", self._attached)
                self._frames = _Frames(self.errors if apart else None)
                self.times["attached"] = time.monotonic()
                api.start(self.id)
                self.times["started"] = time.monotonic()
            except BaseException:  # Ctrl-C as well: what was created must not stay
                if self.id:
                    self._disconnect()
                    self._remove()
                raise

    def pids(self) -> list[int]:
        """The processes in the container by the engine host's numbers; the first alone where those are not ours to see."""
        first = self.inspect()["State"]["Pid"]
        cgroup = Path(f"/proc/{first}/cgroup")
        says = cgroup.read_text(errors="replace") if cgroup.exists() else ""
        seen = self.id in says or says.startswith("0::/\n")
        return _with_children(first) if seen else [first]

    def inspect(self) -> dict[str, Any]:
        """What the engine knows of it."""
        with engine.plain_errors():
            known: dict[str, Any] = self._api.inspect_container(self.id)
        return known

    def read(self, timeout_s: float) -> bytes | None:
        deadline = time.monotonic() + timeout_s
        while True:  # a chunk may end inside a frame's header, and then holds no output yet; or all of it goes apart
            with engine.plain_errors():
                chunk = self._receive(deadline - time.monotonic())
            if not chunk:
                return chunk
            if payload := self._frames.payload(chunk):
                return payload
            if time.monotonic() > deadline:
                return None

    def send(self, data: bytes) -> None:
        """Write to its input.

        Raises:
            NotReady: it has ended.
        """
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise NotReady(_("it has ended: {why}", why=self.exit_reason())) from error

    def takes(self, timeout_s: float) -> bool:
        """As for `HostProcess`."""
        return bool(select.select([], [self._socket], [], max(0.0, timeout_s))[1])

    def exit_reason(self) -> str:
        """From the engine's log of events, once the container is gone, which it need not be when its output ends."""
        with engine.plain_errors():
            events = engine.events(self.id, "die", "oom", last="die", wait_s=STOP_S)
            if events and events[-1]["Actor"]["Attributes"].get("exitCode") == KILLED:
                events = engine.events(self.id, "oom") + events  # it may be noted later
        if any(event["Action"] == "oom" for event in events):
            return OUT_OF_MEMORY
        if not events:
            return _("it closed its output and went on")
        return _("exit status {status}", status=events[-1]["Actor"]["Attributes"]["exitCode"])

    def stop(self, grace_s: float | None = None) -> None:
        """End it by SIGTERM and wait until the engine has removed it; after `grace_s` seconds (`STOP_S`) by force."""
        grace_s = STOP_S if grace_s is None else grace_s
        self._disconnect()
        with engine.plain_errors():
            if grace_s:
                self._unless_gone(self._api.kill, self.id, "SIGTERM")
                try:
                    self._unless_gone(self._api.wait, self.id, timeout=grace_s, condition="removed")
                    return
                except requests.RequestException:
                    pass  # deaf to SIGTERM: this is how the SDK says that a wait timed out
            self._remove()

    def _receive(self, timeout_s: float) -> bytes | None:
        waiting = getattr(self._socket, "pending", lambda: 0)()  # TLS may have read ahead of what select sees
        ready = waiting or select.select([self._socket], [], [], max(0.0, timeout_s))[0]
        return self._socket.recv(1 << 16) if ready else None

    def _disconnect(self) -> None:
        """Hang up, or the engine waits for us to read what the container printed. The SDK's response holds the socket as well,
        and closes it: left to the garbage collector, it would find it closed, and complain."""
        if not self._attached:
            return
        with contextlib.suppress(OSError):  # the engine may have hung up first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._attached._response.close()
        self._attached = None

    def _remove(self) -> None:
        self._unless_gone(self._api.remove_container, self.id, force=True, v=True)
        self._unless_gone(self._api.wait, self.id, timeout=engine.TIMEOUT_S, condition="removed")

    @staticmethod
    def _unless_gone(call: Callable[..., object], *arguments: Any, **options: Any) -> None:
        """Call the engine; that the container has ended, has gone or is about to (404, 409, `ENDED`) is what we want."""
        try:
            call(*arguments, **options)
        except docker.errors.APIError as error:
            if error.status_code not in (404, 409) and not any(words in str(error.explanation) for words in ENDED):
                raise


class _Frames:
    """Takes the headers out of an attached container's stream.

    Each frame is one byte of stream number, three of padding, four of length, big-endian, then its payload
    (Docker Engine API, "Attach to a container").

    Args:
        errors: where the second stream goes; by default, with the first.
    """

    MOST = 1 << 16

    def __init__(self, errors: bytearray | None = None) -> None:
        self._buffer, self._errors = b"", errors

    def payload(self, chunk: bytes) -> bytes:
        self._buffer += chunk
        out = b""
        while len(self._buffer) >= 8:
            length = int.from_bytes(self._buffer[4:8], "big")
            if len(self._buffer) < 8 + length:
                break
            if self._errors is not None and self._buffer[0] == 2:
                self._errors += self._buffer[8 : 8 + length]
                del self._errors[: -self.MOST]
            else:
                out += self._buffer[8 : 8 + length]
            self._buffer = self._buffer[8 + length :]
        return out


def _with_children(pid: int) -> list[int]:
    """A process and all below it; nothing where it is gone."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []
