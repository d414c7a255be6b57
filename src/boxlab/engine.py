"""The one way to the Docker Engine: where it is, what is ours on it, and its errors in plain words."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import docker
import requests
import urllib3
from docker.context import Context, ContextAPI
from docker.context.config import get_current_context_name

from boxlab import marks
from boxlab.errors import EngineError
from boxlab.marks import RUN

LABEL = "org.containers-measured"
"""Label of every engine object of ours."""

OWNER_LABEL = f"{LABEL}.owner"
RUN_LABEL = f"{LABEL}.run"
"""Labels of what a run made: whose it is, and the run."""

TIMEOUT_S = 60
"""How long one call may take before the engine counts as stuck."""

START_FIX = "start Docker Desktop, or `sudo systemctl start docker` (without systemd: `sudo service docker start`)"


def labels(run: str = RUN) -> dict[str, str]:
    """The labels for a new container, network, volume or image of a run.

    Only the owner says that an object is ours: images that all share have the first label alone, and hand it on.
    """
    return {LABEL: "1", OWNER_LABEL: marks.owner(), RUN_LABEL: run}


def host() -> str:
    """Address of the engine: ``DOCKER_HOST``, else the current context, else the first socket that exists."""
    if address := os.environ.get("DOCKER_HOST"):
        return address
    if context := _context():
        return context.Host
    runtime_dir = Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"))
    sockets = [
        Path("/var/run/docker.sock"),
        Path.home() / ".docker/run/docker.sock",
        runtime_dir / "docker.sock",
        runtime_dir / "podman/podman.sock",
    ]
    return f"unix://{next((s for s in sockets if s.exists()), sockets[0])}"


def _context() -> Context | None:
    """The Docker context that is chosen, if any is.

    Raises:
        EngineError: it is chosen and does not exist.
    """
    name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name()
    if name == "default":
        return None
    if context := ContextAPI.get_context(name):
        return context
    raise EngineError(f"there is no Docker context {name!r}", "`docker context ls`, then `docker context use NAME`")


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
    if "PermissionError" in text:
        return EngineError(
            f"not allowed to use the engine's socket ({host()})",
            "`sudo usermod -aG docker $USER`, then log in again (members of that group are root on this machine)",
        )
    if "no space left" in text.lower():
        return EngineError(f"the disk is full: {text}", "see what fills it with `docker system df` and `df -h`")
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)):
        return EngineError(f"the engine did not answer within {TIMEOUT_S} s", "restart the engine")
    gone = ("FileNotFoundError", "Connection refused", "ConnectionRefused", "Connection aborted", "Connection reset")
    if any(sign in text for sign in gone):
        return EngineError(f"no engine answers at {host()}", START_FIX)
    return EngineError(f"the engine said: {text}")


@cache
def connect() -> docker.DockerClient:
    """A client of the engine, after a real call to it.

    Raises:
        EngineError: nothing answers there, or we may not ask.
    """
    with plain_errors():
        options = {"version": "auto", "timeout": TIMEOUT_S}
        context = None if os.environ.get("DOCKER_HOST") else _context()
        if context:
            client = docker.DockerClient(base_url=context.Host, tls=context.TLSConfig or False, **options)
        else:
            client = docker.DockerClient.from_env(environment=os.environ | {"DOCKER_HOST": host()}, **options)
        client.ping()
    return client


def is_podman() -> bool:
    """Whether it is Podman that answers as Docker would.

    Raises:
        what the SDK raises: see `plain_errors`.
    """
    return any("Podman" in part["Name"] for part in connect().version().get("Components") or ())


@cache
def is_local() -> bool:
    """Whether the containers run on this very kernel."""
    if not host().startswith("unix://"):
        return False
    with plain_errors():
        return connect().info().get("KernelVersion") == os.uname().release


def ping(timeout_s: float = 5) -> None:
    """Ask the engine whether it is there, without waiting for long.

    Raises:
        EngineError: it is not, or does not answer in time.
    """
    with plain_errors():
        api = connect().api
        api.get(f"{api.base_url}/_ping", timeout=timeout_s).raise_for_status()


def events(container: str, *actions: str) -> list[dict]:
    """What the engine has noted of a container within the last hour: events of these actions, oldest first.

    Raises:
        what the SDK raises: see `plain_errors`.
    """
    now, of_it = int(time.time()), {"container": container}
    noted = connect().api.events(since=now - 3600, until=now + 1, filters=of_it, decode=True)
    return [event for event in noted if event["Action"] in actions]  # not by a filter: Podman's finds none


def environment() -> dict[str, str]:
    """Variables by which the docker command uses the same engine as we do."""
    return {} if os.environ.get("DOCKER_HOST") or _context() else {"DOCKER_HOST": host()}
