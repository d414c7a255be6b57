"""Containers with options that a learner chose: accepted by the engine or the learner's slip, held within bounds, and, where it
counts what became of one, still there when it has ended."""

import json
import time
from typing import Any

import docker.errors

from boxlab import engine, images
from boxlab.errors import EngineError
from boxlab.interrupts import deferred
from boxlab.labs.checks import Mismatch
from boxlab.language import _

AGAIN_S = 60
"""How long the engine may take to start a container again that its policy wants started."""

BARE = {"NetworkMode": "none"}
"""Settings of a container that every engine makes."""


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


class Lasting:
    """A container that was created, and stays when it has ended, so that the engine can be asked about it.

    Attributes:
        id: the engine's.
    """

    def __init__(self, image: str, command: list[str], options: dict[str, Any], settings: dict[str, Any]):
        self._options, self.id = options, ""
        engine.require_limits("memory", "processes", "processors")
        with engine.plain_errors(), deferred():
            self._api = engine.connect().api
            host = self._api.create_host_config(**options) | settings
            self.id = self._api.create_container(image, command, labels=engine.labels(), host_config=host)["Id"]

    def start(self) -> None:
        """Start it.

        Raises:
            Mismatch: it does not start, and one without the learner's options does.
            EngineError: the engine is in the way.
        """
        try:
            with engine.plain_errors():
                self._api.start(self.id)
        except EngineError as error:
            if not isinstance(error.__cause__, docker.errors.APIError):
                raise
            require_start(**self._options)
            raise Mismatch(
                _("the container starts"),
                str(error.__cause__.explanation),
                _("the engine could make the container, and not start it"),
                _("give it what its first process needs"),
            ) from error

    def state(self) -> dict[str, Any]:
        """What the engine knows of it now."""
        with engine.plain_errors():
            state: dict[str, Any] = self._api.inspect_container(self.id)
        return state

    def running(self) -> bool:
        """Whether its first life goes on."""
        now = self.state()
        return now["State"]["Running"] and not _again(now)

    def status(self, seconds: int) -> int:
        """The exit status of its first life, from the engine's events.

        Raises:
            EngineError: that does not end in time.
        """
        with engine.plain_errors():
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

    def swaps(self) -> bool:
        """Whether the engine cannot keep it from swap, whatever its limits say."""
        with engine.plain_errors():
            return not engine.connect().info()["SwapLimit"]

    def printed(self) -> str:
        """What it has printed."""
        with engine.plain_errors():
            return self._api.logs(self.id).decode(errors="replace")

    def remove(self) -> None:
        """Kill it, if it runs, and remove it."""
        with engine.plain_errors(), deferred():
            self._api.remove_container(self.id, force=True, v=True)


def _again(state: dict[str, Any]) -> bool:
    """Whether the engine has started a container again, or is about to."""
    return bool(state["State"]["Restarting"] or state["RestartCount"] > 0)
