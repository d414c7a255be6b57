"""The one way to the Docker Engine: where it is, what is ours on it, and its errors in plain words."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import docker
import docker.utils
import requests
import urllib3
from docker.models.images import Image as SdkImage

from boxlab import client, connection, errors, marks, progress, waiting
from boxlab.errors import EngineError, Unavailable
from boxlab.interrupts import deferred, signal_group
from boxlab.language import _

LABEL = "org.containers-measured"
"""Label of every engine object of ours."""

OWNER_LABEL = f"{LABEL}.owner"
RUN_LABEL = f"{LABEL}.run"
"""Labels of what a run made: whose it is, and the run."""

TIMEOUT_S = waiting.HANG_S
"""How long one call may take before the engine counts as stuck; that it is waited for is said long before."""

INSTALL_FIX = _("install Docker Desktop, or have an administrator run `apt-get install docker.io` (Debian, Ubuntu)")

THEIRS = ("COMPOSE_", "DOCKER_DEFAULT_PLATFORM")
"""How variables begin by which a reader tells the docker command of projects and platforms of theirs: not for ours, whose images are
the engine's own platform's."""

FULL = re.compile("no space left|quota exceeded", re.IGNORECASE)
"""What is said where a disk is full."""


def labels(run: str = marks.RUN) -> dict[str, str]:
    """The labels for a new container, network, volume or image of a run.

    Only the owner says that an object is ours: images that all share have the first label alone, and hand it on.
    """
    return {LABEL: "1", OWNER_LABEL: marks.owner(), RUN_LABEL: run}


def host() -> str:
    """Address of the engine.

    Raises:
        EngineError: what names it is wrong: see `client.endpoint`.
    """
    return client.endpoint().address


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what the SDK raises into an `EngineError` of one line with its fix."""
    try:
        yield
    except (
        docker.errors.DockerException,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        ConnectionError,
        TimeoutError,
    ) as error:
        raise explain(error) from error


def explain(error: Exception) -> EngineError:
    """The `EngineError` that says what `error` means."""
    text = " ".join(str(getattr(error, "explanation", None) or error).split())
    address = host()
    if FULL.search(text):
        return EngineError(
            _("the disk is full: {why}", why=text), _("see what fills it with `docker system df` and `df -h`")
        )
    if "HTTPS server" in text:
        return EngineError(
            _("the engine at {address} wants TLS", address=address),
            _("`export DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=FOLDER`"),
        )
    if isinstance(error, docker.errors.APIError):  # it has answered: whom it says it does not reach is somebody else
        return EngineError(_("the engine said: {text}", text=text), client.fix_for(text, ""))
    if "PermissionError" in text:
        return EngineError(
            _("not allowed to use the engine's socket ({address})", address=address),
            _(
                "`sudo usermod -aG docker $USER`, or have an administrator do so; then log in again (members of that group are root on this machine)"
            ),
        )
    if isinstance(error, requests.exceptions.ProxyError) or "SOCKS" in text:
        return EngineError(
            _(
                "the proxy of HTTP_PROXY or HTTPS_PROXY does not let us through to the engine at {address}",
                address=address,
            ),
            _("let NO_PROXY name the engine's host as well; we know no SOCKS proxies"),
        )
    if isinstance(error, requests.exceptions.SSLError):
        reason = re.search(r"\[SSL[^]]*\] [^()]+|certificate[^()]+", text)
        return EngineError(
            _(
                "no TLS connection to the engine at {address}: {why}",
                address=address,
                why=reason[0].strip() if reason else text,
            ),
            _("DOCKER_CERT_PATH must name the folder with the ca.pem, cert.pem and key.pem made for this engine"),
        )
    if re.search(r"NameResolutionError|getaddrinfo|name resolution|not known", text):
        return EngineError(_("no machine has the name of the engine at {address}", address=address), _elsewhere())
    late = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
    if isinstance(error, late) or "Read timed out" in text:  # the latter where requests reads a stream
        held = re.search(r"timeout=([\d.]+)", text)
        return EngineError(
            _("the engine did not answer within {seconds} s", seconds=held[1] if held else TIMEOUT_S),
            _("restart the engine"),
        )
    if isinstance(error, requests.exceptions.JSONDecodeError) or "BadStatusLine" in text:
        return EngineError(_("what answers at {address} is no engine", address=address), _elsewhere())
    gone = ("FileNotFoundError", "onnection refused", "ConnectionRefused", "Connection aborted", "Connection reset")
    if any(sign in text for sign in (*gone, "No route to host", "unreachable", "NotADirectoryError")):
        return EngineError(_("no engine answers at {address}", address=address), _elsewhere())
    return EngineError(_("the engine said: {text}", text=text), client.fix_for(text, ""))


def _elsewhere() -> str:
    """What to do where no engine answers at the address that we were told."""
    said_by = client.endpoint().said_by
    if not said_by:
        return client.START_FIX if shutil.which("docker") else INSTALL_FIX
    return _("{start}; if it is elsewhere, correct {variable}", start=client.START_FIX, variable=said_by)


@cache
def connect() -> docker.DockerClient:
    """A client of the engine, after a real call to it.

    Raises:
        EngineError: nothing answers there, we may not ask, or it speaks no language of ours.
    """
    endpoint = client.endpoint()
    with plain_errors():
        asking = connection.open_client(endpoint, connection.LEAST_API, TIMEOUT_S)
        try:
            spoken = asking.version(api_version=False)
        finally:
            asking.close()
        if not isinstance(spoken, dict) or "ApiVersion" not in spoken:
            raise EngineError(_("what answers at {address} is no engine", address=endpoint.address), _elsewhere())
        require_versions(spoken)
        return connection.open_client(endpoint, spoken["ApiVersion"], TIMEOUT_S)


def another() -> docker.DockerClient:
    """A further client, to be closed by whoever asks for it: what it has begun, such as a build, ends with its connection.

    Raises:
        EngineError: nothing answers.
    """
    return connection.open_client(client.endpoint(), connect().api.api_version, TIMEOUT_S)


def require_versions(spoken: dict[str, Any]) -> None:
    """See that the docker client may speak as it is told to, with an engine that says `spoken` of itself.

    Raises:
        EngineError: it may not.
    """
    newest, oldest = spoken["ApiVersion"], spoken.get("MinAPIVersion") or connection.LEAST_API
    if _number(newest) < _number(connection.LEAST_API):
        raise EngineError(
            _("the engine is too old: it speaks version {version} of the API", version=newest),
            _("install a current engine"),
        )
    told = os.environ.get("DOCKER_API_VERSION")
    if told and not (re.fullmatch(r"v?\d+\.\d+", told) and _number(oldest) <= _number(told) <= _number(newest)):
        raise EngineError(
            _(
                "DOCKER_API_VERSION is {told!r}, and the engine speaks {oldest} to {newest}",
                told=told,
                oldest=oldest,
                newest=newest,
            ),
            "`unset DOCKER_API_VERSION`",
        )


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.removeprefix("v").split(".")))


LIMITS = {"memory": "MemoryLimit", "processes": "PidsLimit", "processors": "CpuCfsQuota"}
"""What a container can be limited in, and by what name the engine says whether it does."""

_LIMITED = {"memory": _("memory"), "processes": _("processes"), "processors": _("processors")}

LIMITS_FIX = _(
    "`docker info` says why, at its end: memory may need `cgroup_enable=memory` on the kernel's command line, "
    "a rootless engine the delegation of control groups by systemd"
)


def discarded_limits() -> list[str]:
    """Names in `LIMITS` of what this engine does not limit, whatever it is told.

    Of processors, Podman says so wherever control groups have version 2, and limits them all the same; what it can't limit there
    it refuses.

    Raises:
        EngineError: it does not answer.
    """
    with plain_errors():
        info = connect().info()
        mistaken = {"CpuCfsQuota"} if is_podman() and info.get("CgroupVersion") == "2" else set()
    return [name for name, key in LIMITS.items() if info.get(key) is False and key not in mistaken]


def require_limits(*names: str) -> None:
    """See that the engine keeps to such limits.

    Raises:
        EngineError: it discards some.
    """
    if discarded := [name for name in discarded_limits() if name in names]:
        raise EngineError(discards(discarded), LIMITS_FIX)


def discards(names: Iterable[str]) -> str:
    """What to say of an engine that does not limit what these names in `LIMITS` stand for."""
    return _("this engine discards limits of {what}", what=_(" and ").join(_LIMITED[name] for name in names))


def identity(info: dict[str, Any]) -> str | None:
    """What tells one engine from another, as its own `info` says; None where that is Podman's, which says another each time."""
    return None if "BuildahVersion" in info else info.get("ID")


ROOTLESS = "name=rootless"
"""What an engine says of its security where it runs as a user."""


@cache
def is_podman() -> bool:
    """Whether it is Podman that answers as Docker would. It's asked once: Podman runs a package manager for each answer.

    Raises:
        what the SDK raises: see `plain_errors`.
    """
    return any("Podman" in part["Name"] for part in connect().version().get("Components") or ())


def remove_network(identity: str) -> None:
    """Remove a network that nothing uses. Podman (5.4.2) removes one that is in use as well, by its API, and what uses it can then
    not be removed.

    Raises:
        EngineError: containers use it, on Podman.
        what the SDK raises: as much on others; see `plain_errors`.
    """
    api = connect().api
    if is_podman() and (users := api.containers(all=True, filters={"network": identity})):
        names = ", ".join(name.lstrip("/") for user in users for name in user["Names"])
        raise EngineError(_("containers use the network: {names}", names=names))
    api.remove_network(identity)


def is_rootless() -> bool:
    """Whether the engine runs as a user other than root.

    Raises:
        what the SDK raises: see `plain_errors`.
    """
    return ROOTLESS in (connect().info().get("SecurityOptions") or ())


def images(**which: Any) -> list[SdkImage]:
    """The images on the engine, `which` as the SDK's call knows it; one that others remove meanwhile is left out.

    Raises:
        what the SDK raises: see `plain_errors`.
    """
    client, found = connect(), []
    for identity in dict.fromkeys(row["Id"] for row in listed(**which)):
        with suppress(docker.errors.NotFound):
            found.append(client.images.get(identity))
    return found


def listed(tries: int = 20, **which: Any) -> list[dict[str, Any]]:
    """The engine's own list of images, a row each: containerd's store fails to make one while an image is being removed.

    Raises:
        what the SDK raises: see `plain_errors`.
    """
    for _try in range(tries):
        with suppress(docker.errors.NotFound):
            return _rows(**which)
    return _rows(**which)


def tags(row: dict[str, Any]) -> list[str]:
    """The names of an image, from its row in the engine's list."""
    return [name for name in row["RepoTags"] or [] if name != "<none>:<none>"]  # the latter by an engine before 25


def _rows(**which: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = connect().api.images(**which)
    return rows


@cache
def keeps_packed() -> bool:
    """Whether it keeps images twice, as they travel and unpacked: containerd's image store does.

    Raises:
        EngineError: the engine does not answer.
    """
    with plain_errors():
        status = connect().info().get("DriverStatus") or ()
    return any(str(value).startswith("io.containerd.snapshotter") for _name, value in status)


@cache
def is_local() -> bool:
    """Whether the containers run on this very kernel."""
    if not host().startswith("unix://"):
        return False
    with plain_errors():
        return connect().info().get("KernelVersion") == os.uname().release


def require_ports_here() -> None:
    """See that what is published at 127.0.0.1 can be this machine's.

    Raises:
        Unavailable: the engine is on another machine.
    """
    address = urlsplit(host())
    if address.scheme != "unix" and not client.is_here(address.hostname or ""):
        raise Unavailable(
            _("the engine at {address} does not publish ports at this machine's 127.0.0.1", address=host()),
            _("use an engine of this machine: `unset DOCKER_HOST`, `docker context use default`"),
        )


def ping(timeout_s: float = 5) -> None:
    """Ask the engine whether it is there, without waiting for long.

    Raises:
        EngineError: it is not, or does not answer in time.
    """
    with plain_errors():
        api = connect().api
        api.get(f"{api.base_url}/_ping", timeout=timeout_s).raise_for_status()


def knows_start_interval() -> bool:
    """Whether a container's health can be checked more often while it starts: since Engine 25 (API 1.44).

    Raises:
        EngineError: the engine does not answer.
    """
    with plain_errors():
        return not docker.utils.version_lt(connect().api.api_version, "1.44")


def events(container: str, *actions: str, last: str = "", wait_s: int = 1) -> list[dict[str, Any]]:
    """What the engine has noted of a container within the last hour: events of these actions, oldest first.

    Args:
        last: with an event of this action it is enough.
        wait_s: for how long one that comes later is waited for, by the engine's clock.

    Raises:
        what the SDK raises: see `plain_errors`.
    """
    now, of_it = now_there(), {"container": container}
    stream = connect().api.events(since=now - 3600, until=now + wait_s, filters=of_it, decode=True)
    noted = []
    with closing(stream._response):  # type: ignore[attr-defined]  # the SDK shows it to nobody
        for event in stream:
            noted.append(event)
            if event["Action"] == last:
                break
    return [event for event in noted if event["Action"] in actions]  # not by a filter: Podman's finds none


def now_there() -> int:
    """The time by the engine's clock, in seconds since 1970: it need not be ours.

    Raises:
        what the SDK raises: see `plain_errors`.
    """
    return int(moment_there())


def moment_there() -> float:
    """As `now_there`, to the microsecond.

    Raises:
        what the SDK raises: see `plain_errors`.
    """
    return datetime.fromisoformat(connect().info()["SystemTime"]).timestamp()


def docker_call(*arguments: str, **variables: str) -> tuple[list[str], dict[str, str]]:
    """The docker command as words and environment: with the engine that we use, our marks, and `variables`; it needs no credentials.

    Raises:
        EngineError: what names the engine is wrong.
    """
    chosen = client.endpoint()
    told = {"DOCKER_CONFIG": str(client.own_config())}
    if chosen.certificates and not os.environ.get("DOCKER_CERT_PATH") and chosen.said_by == "DOCKER_HOST":
        told["DOCKER_CERT_PATH"] = str(chosen.certificates)  # by default they are looked for beside the configuration
    if not chosen.said_by:
        told["DOCKER_HOST"] = chosen.address
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(THEIRS)}
    return ["docker", *arguments], inherited | told | marks.environment() | variables


def docker_command(*arguments: str, seconds: float = TIMEOUT_S, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the docker command to its end, in a session of its own: a terminal's Ctrl-C is for us, who then end it and its plug-in.

    Arguments as for `docker_call`.

    Raises:
        EngineError: there is no such command, or it does not end.
    """
    command, environment = docker_call(*arguments, **variables)
    process = None
    try:
        with progress.waiting(f"`docker {arguments[0]}`"):
            with deferred():
                process = subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
            said = process.communicate(timeout=seconds)
            return subprocess.CompletedProcess(command, process.returncode, *said)
    except FileNotFoundError as error:
        raise EngineError(_("the docker command is missing"), _("install Docker's command line")) from error
    except OSError as error:
        if error.errno in errors.LIMITED:
            raise
        raise EngineError(
            _("the docker command does not run: {why}", why=error.strerror), client.fix_for("GLIBC")
        ) from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            _("`docker {command}` did not end within {seconds:g} s", command=arguments[0], seconds=seconds),
            _("restart the engine"),
        ) from error
    finally:
        if process and process.returncode is None:
            signal_group(process.pid, signal.SIGKILL)
            process.communicate()
