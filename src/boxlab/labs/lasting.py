"""Containers with options that a learner chose: accepted by the engine or the learner's slip, held within bounds, and, where it
counts what became of one, still there when it has ended."""

import contextlib
import io
import json
import re
import secrets
import tarfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import docker.errors

from boxlab import engine, images
from boxlab.errors import EngineError
from boxlab.interrupts import deferred
from boxlab.labs.checks import Mismatch, printed
from boxlab.language import _

AGAIN_S = 60
"""How long the engine may take to start a container again that its policy wants started."""

READ_MIB = 16
"""How much of a file in a container is read: a learner's program may have written gigabytes."""

BARE = {"NetworkMode": "none"}
"""Settings of a container that every engine makes."""

PYTHON = "/opt/venv/bin/python3"
"""The base image's, whatever PATH an image that stands on it sets."""

ENDS_S = 20
"""How long the engine may take to tell the end of what has ended."""

_DENIED = re.compile("permission denied", re.IGNORECASE)

FOLDER = 1 << 31
"""The bit that says so in the mode of a path, as the engine tells it (Go's `fs.ModeDir`)."""

FREEZE = """
import contextlib, os, signal

def ancestor(number):
    while parent := int(open(f"/proc/{number}/stat").read().rpartition(")")[2].split()[1]):
        number = parent
    return number

for name in filter(str.isdigit, os.listdir("/proc")):
    with contextlib.suppress(OSError):  # it has ended meanwhile
        if ancestor(int(name)) == 1:
            os.kill(int(name), signal.SIGSTOP)
"""
"""Stops what process 1 has started. That one hears of no SIGSTOP from inside, and what the engine runs in a container has no parent there."""


def accepted(asked: dict[str, Any], forms: dict[str, str]) -> dict[str, Any]:
    """What the Docker SDK makes of options, once it and the engine have accepted them.

    Args:
        asked: keyword arguments of the SDK's `containers.run`.
        forms: what each of them wants, in words.

    Returns:
        the settings as the engine's HostConfig has them: bytes, and whole numbers.

    Raises:
        Mismatch: the SDK or the engine refuses a value, though the engine makes a container without them.
        EngineError: the engine is in the way.
    """
    settings: dict[str, Any] = {}
    for name, value in asked.items():
        settings |= _settings(name, value, forms.get(name, _("another")))
    with engine.plain_errors():
        refused = _refused(settings)
        if refused and (trouble := _refused({})):
            raise trouble
    if refused:
        raise Mismatch(
            _("the engine accepts {options}", options=json.dumps(asked)),
            str(refused.explanation),
            _("what an engine cannot keep to, or what contradicts itself, it refuses when the container is created"),
            "; ".join(_("{name} is {form}", name=name, form=form) for name, form in forms.items() if name in asked)
            or _("leave it out"),
        )
    return settings


def require_start(**options: Any) -> None:
    """See that the engine starts a container at all: one of the base image, with these options, that does nothing.

    Raises:
        EngineError: it starts none, so that whatever does not start is not the learner's mistake.
    """
    from boxlab import images
    from boxlab.errors import EngineError
    from boxlab.runtimes.spawn import EngineContainer

    try:
        with deferred():
            EngineContainer(f"{images.PREFIX}base", ["true"], **options).stop(grace_s=0)
    except EngineError as error:
        by_hand = _("`docker run --rm {image} true` by hand must work", image=f"{images.PREFIX}base")
        raise EngineError(
            _("this engine starts no container: {reason}", reason=error.args[0]), error.fix or by_hand
        ) from error


def _settings(name: str, value: Any, form: str) -> dict[str, Any]:
    """What one option sets. Nothing but the SDK's own reading of it runs here, so that whatever is raised is about the value."""
    api = engine.connect().api
    bare = api.create_host_config()
    try:
        made = api.create_host_config(**{name: value})
    except Exception as error:
        raise Mismatch(
            _("{name} is {form}", name=name, form=form),
            _("{name} = {value}: the Docker SDK says: {words}", name=name, value=json.dumps(value), words=error),
            _("a limit that is not understood is no limit"),
            _("give it such a value"),
        ) from error
    return {key: setting for key, setting in made.items() if key not in bare or bare[key] != setting}


def _refused(settings: dict[str, Any]) -> docker.errors.APIError | None:
    """What the engine says if it does not make a container with such settings, which never runs."""
    api, ident = engine.connect().api, ""
    try:
        with deferred():
            host = api.create_host_config() | BARE | settings
            ident = api.create_container(f"{images.PREFIX}base", ["true"], labels=engine.labels(), host_config=host)[
                "Id"
            ]
    except docker.errors.APIError as error:
        return error
    finally:
        if ident:
            with deferred():
                api.remove_container(ident, force=True, v=True)
    return None


def within(settings: dict[str, Any], memory_mib: int, processes: int) -> dict[str, Any]:
    """Settings within bounds, for the sake of this machine: what is left out, without end or beyond becomes the bound itself."""
    most = memory_mib << 20

    def bound(name: str, limit: int) -> int:
        return settings[name] if 0 < settings.get(name, 0) <= limit else limit

    memory, swap = bound("Memory", most), bound("MemorySwap", most)
    if settings.get("Memory", 0) > 0 and not settings.get("MemorySwap"):
        swap = min(2 * memory, most)  # what the engine makes of nothing
    return settings | {
        "Memory": memory,
        "MemorySwap": max(memory, swap),
        "MemoryReservation": min(max(0, settings.get("MemoryReservation", 0)), memory),
        "PidsLimit": bound("PidsLimit", processes),
    }


def execute(ident: str, command: list[str], user: str = "") -> str:
    """What a further command in a container prints.

    Raises:
        EngineError: the engine is in the way.
    """
    with engine.plain_errors():
        api = engine.connect().api
        call = api.exec_create(ident, command, user=user)["Id"]
        printed: str = api.exec_start(call).decode(errors="replace")
    return printed


@contextlib.contextmanager
def volume(name: str) -> Iterator[str]:
    """A new volume, as `docker volume create` makes it, gone at the end of the block: its name, which begins with `name`.

    Raises:
        EngineError: the engine is in the way, or something still uses it in the end.
    """
    made = None
    try:
        with engine.plain_errors(), deferred():
            made = engine.connect().volumes.create(f"{name}-{secrets.token_hex(6)}", labels=engine.labels())
        yield made.name
    finally:
        if made:
            with engine.plain_errors(), deferred():
                made.remove()


def _made(said: str) -> Mismatch:
    """What to tell of a container that the engine does not make."""
    return Mismatch(
        _("the engine makes the container"),
        said,
        _("it refuses what the image, or an option, says"),
        _(
            "mend what it names: an image has a command, {volume} in a Dockerfile takes folders of the container, and no name "
            "before them",
            volume="VOLUME",
        ),
    )


def _relative(error: EngineError) -> Mismatch | None:
    """What to tell of a volume's place that is none: some engines make such a container, and can copy nothing then."""
    return _made(error.args[0]) if "destination relative" in error.args[0] else None


def _started(said: str) -> Mismatch:
    """What to tell of a container that the engine does not start."""
    return Mismatch(
        _("the container starts"),
        said,
        _("the engine could make the container, and not start it"),
        _("the file must be executable: {command}, or {line}", command="chmod +x", line="RUN chmod 755")
        if _DENIED.search(said)
        else _("give it what its first process needs"),
    )


class Lasting:
    """A container that was created, and stays when it has ended, so that the engine can be asked about it.

    Attributes:
        id: the engine's.
    """

    def __init__(
        self,
        image: str,
        command: list[str] | None,
        options: dict[str, Any],
        settings: dict[str, Any],
        health: dict[str, Any] | None = None,
        session: dict[str, Any] | None = None,
    ):
        self._options, self.id, self._starts = options, "", 0
        engine.require_limits("memory", "processes", "processors")
        with self._accepting(_made), deferred():
            self._api = engine.connect().api
            host = self._api.create_host_config(**options) | settings
            self.id = self._api.create_container(
                image, command, labels=engine.labels(), host_config=host, healthcheck=health, **(session or {})
            )["Id"]

    def start(self) -> None:
        """Start it.

        Raises:
            Mismatch: it does not start, and one without the learner's options does.
            EngineError: the engine is in the way.
        """
        with self._accepting(_started):
            self._api.start(self.id)
        self._starts += 1

    @contextlib.contextmanager
    def _accepting(self, mistake: Callable[[str], Mismatch]) -> Iterator[None]:
        """Take an engine that refuses for the learner's mistake, if it starts another container; an image that is gone is none."""
        try:
            with engine.plain_errors():
                yield
        except EngineError as error:
            refused = error.__cause__
            if not isinstance(refused, docker.errors.APIError) or isinstance(refused, docker.errors.ImageNotFound):
                raise
            require_start(**self._options)
            raise mistake(str(refused.explanation)) from error

    def state(self) -> dict[str, Any]:
        """What the engine knows of it now."""
        with engine.plain_errors():
            state: dict[str, Any] = self._api.inspect_container(self.id)
        return state

    def running(self) -> bool:
        """Whether its first life goes on."""
        now = self.state()
        return now["State"]["Running"] and not _again(now)

    def status(self, seconds: int = ENDS_S) -> int:
        """The exit status of its first life, from the engine's events; where we have started it again, of that life.

        Raises:
            EngineError: that does not end in time.
        """
        with engine.plain_errors():
            if self._starts > 1:
                return int(self._api.wait(self.id, timeout=seconds)["StatusCode"])
            ends = engine.events(self.id, "die", last="die", wait_s=seconds)
        if not ends:
            raise EngineError(
                _("a container of the check does not end within {seconds} s", seconds=seconds),
                _("check again when the machine is less busy"),
            )
        return int(ends[0]["Actor"]["Attributes"]["exitCode"])

    def starts_again(self) -> bool:
        """Whether the engine starts it again by itself, once it was killed: as its policy says, and as it is seen to do.

        Raises:
            EngineError: the policy says so, and the engine does not.
        """
        if self.state()["HostConfig"]["RestartPolicy"]["Name"] in ("", "no"):
            return False
        deadline = time.monotonic() + AGAIN_S
        while not _again(self.state()):
            if time.monotonic() > deadline:
                raise EngineError(
                    _("the engine does not restart a container within {seconds} s", seconds=AGAIN_S), _("check again")
                )
            time.sleep(0.05)
        return True

    def stop(self, grace_s: int) -> list[int]:
        """Stop it as `docker stop` does, and wait for its end.

        Args:
            grace_s: how long it may take to end by itself before the engine kills it.

        Returns:
            the numbers of the signals that the engine has sent it, in this order.
        """
        with engine.plain_errors():
            self._api.stop(self.id, timeout=grace_s)
            sent = engine.events(self.id, "kill", last="stop")
        return [int(event["Actor"]["Attributes"].get("signal", 0)) for event in sent]

    def freeze(self) -> None:
        """Stop all its processes by SIGSTOP, but none that the engine runs in it beside them, such as checks of its health."""
        self.execute([PYTHON, "-I", "-c", FREEZE], user="0")
        with engine.plain_errors():
            self._api.kill(self.id, "SIGSTOP")

    def health(self, seconds: int) -> tuple[str, str]:
        """What the engine says of its health once it has checked it anew, and what that check has printed.

        Returns:
            "healthy" or "unhealthy"; "exited" where it has ended, and nothing where the engine checks no health.

        Raises:
            EngineError: it has checked nothing in time.
        """
        with engine.plain_errors():
            since = engine.moment_there()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            now = self.state()["State"]
            if not now["Running"]:
                return "exited", _("exit status {status}", status=now["ExitCode"])
            if not (known := now.get("Health")):
                return "", ""
            for checked in known["Log"] or ():
                if datetime.fromisoformat(checked["Start"]).timestamp() > since:
                    return known["Status"], checked["Output"]
            time.sleep(0.05)
        raise EngineError(
            _("the engine has checked the health of no container within {seconds} s", seconds=seconds),
            _("check again when the machine is less busy; Podman checks it only where systemd runs"),
        )

    def write(self, path: str, text: str) -> None:
        """Write a file in it, whoever may write there, as `docker cp` does.

        Raises:
            Mismatch: it has no such folder.
            EngineError: the engine is in the way.
        """
        place, content = PurePosixPath(path), text.encode()
        member = tarfile.TarInfo(place.name)
        member.size, member.mode, member.mtime = len(content), 0o644, time.time()  # a program may look for a newer one
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.addfile(member, io.BytesIO(content))
        try:
            with engine.plain_errors():
                self._api.put_archive(self.id, str(place.parent), packed.getvalue())
        except EngineError as error:
            file = "not a directory" in error.args[0]
            if not isinstance(error.__cause__, docker.errors.NotFound) and not file:
                raise (_relative(error) or error) from error.__cause__
            raise Mismatch(
                _("the container has the folder {folder}", folder=place.parent),
                _("it is a file") if file else _("it has none"),
                _("what the check gives to a program, it has to find at an agreed place"),
                _("keep the program's files where the task says that they are"),
            ) from error

    def read(self, path: str) -> str | None:
        """The text of a file in it, whether it runs or has ended, or the beginning of a long one; None if there is no such file."""
        packed = b""
        try:
            with engine.plain_errors():
                stream, about = self._api.get_archive(self.id, path)
            with engine.plain_errors(), contextlib.closing(stream) as chunks:
                if about["mode"] & FOLDER:  # with all that is in it
                    return None
                for chunk in chunks:
                    packed += chunk
                    if len(packed) >= READ_MIB << 20:
                        break
        except EngineError as error:
            missing = isinstance(error.__cause__, docker.errors.NotFound) or "not a directory" in error.args[0]
            if missing:
                return None
            raise (_relative(error) or error) from error.__cause__
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            found = archive.next()
            content = archive.extractfile(found) if found and found.isfile() else None
            if not found or not content:
                return None
            return content.read(min(found.size, len(packed) - found.offset_data)).decode(errors="replace")

    def changed(self) -> list[str]:
        """Paths in its writable layer, as `docker diff` has them, without what was deleted; what lies in a mount is not there."""
        deleted = 2
        with engine.plain_errors():
            return [change["Path"] for change in self._api.diff(self.id) or () if change["Kind"] != deleted]

    def execute(self, command: list[str], user: str = "") -> str:
        """What a further command in it prints.

        Raises:
            EngineError: the engine is in the way, or it has ended.
        """
        return execute(self.id, command, user)

    def beside(self, command: list[str], user: str = "") -> str:
        """What a further command prints, beside a program that goes on.

        Raises:
            Mismatch: the program has ended, and the command with it.
            EngineError: the engine is in the way.
        """
        said, trouble = "", None
        try:
            said = self.execute(command, user)
        except EngineError as error:
            trouble = error
        self.require_running()
        if trouble:
            raise trouble
        return said

    def require_running(self) -> None:
        """See that its program goes on.

        Raises:
            Mismatch: it has ended.
        """
        if not self.running():
            raise Mismatch(
                _("the service goes on until it is stopped"),
                _(
                    "it ended, exit status {status}; it printed:\n{output}",
                    status=self.status(),
                    output=printed(self.printed()),
                ),
                _("a container ends with its first process"),
                _(
                    "`docker run --rm IMAGE` in a terminal shows the same; an error in one answer need not end the program"
                ),
            )

    def swaps(self) -> bool:
        """Whether the engine cannot keep it from swap, whatever its limits say."""
        with engine.plain_errors():
            return not engine.connect().info()["SwapLimit"]

    def printed(self, errors: bool = True) -> str:
        """What it has printed; `errors`: to standard error as well."""
        with engine.plain_errors():
            return self._api.logs(self.id, stderr=errors).decode(errors="replace")

    def remove(self) -> None:
        """Kill it, if it runs, and remove it."""
        with engine.plain_errors(), deferred():
            self._api.remove_container(self.id, force=True, v=True)


def _again(state: dict[str, Any]) -> bool:
    """Whether the engine has started a container again, or is about to."""
    return bool(state["State"]["Restarting"] or state["RestartCount"] > 0)
