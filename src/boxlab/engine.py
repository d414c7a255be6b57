"""The one way to the Docker Engine: where it is, what is ours on it, and its errors in plain words."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import docker
import requests
import urllib3
from docker.context import ContextAPI

from boxlab.errors import EngineError

LABEL = "org.containers-measured"
"""Label of every engine object of ours; the run that made it is under ``LABEL + ".run"``."""

RUN = uuid.uuid4().hex[:12]
"""Id of this Python process's run, on everything that it starts."""

TIMEOUT_S = 60
"""How long one call may take before the engine counts as stuck."""

START_FIX = "start Docker Desktop, or `sudo systemctl start docker` (without systemd: `sudo service docker start`)"


def labels() -> dict[str, str]:
    """The labels for a new object of this run."""
    return {LABEL: "1", f"{LABEL}.run": RUN}


def host() -> str:
    """Address of the engine: ``DOCKER_HOST``, else the current context, else the first socket that exists."""
    if address := os.environ.get("DOCKER_HOST"):
        return address
    name = os.environ.get("DOCKER_CONTEXT") or ContextAPI.get_current_context().name
    if name != "default":
        context = ContextAPI.get_context(name)
        if context is None:
            raise EngineError(f"there is no Docker context {name!r}", "list them with `docker context ls`")
        return context.Host
    runtime_dir = Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"))
    sockets = [
        Path("/var/run/docker.sock"),
        Path.home() / ".docker/run/docker.sock",
        runtime_dir / "docker.sock",
        runtime_dir / "podman/podman.sock",
    ]
    return f"unix://{next((s for s in sockets if s.exists()), sockets[0])}"


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what the SDK raises into an `EngineError` of one line with its fix."""
    try:
        yield
    except (docker.errors.DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise explain(error) from error


def explain(error: Exception) -> EngineError:
    """The `EngineError` that says what `error` means."""
    text = getattr(error, "explanation", None) or str(error)
    lower = text.lower()
    if "permission denied" in lower and "connect" in lower + str(type(error)).lower() or "PermissionError" in text:
        return EngineError(
            f"not allowed to use the engine's socket ({host()})",
            "`sudo usermod -aG docker $USER`, then log in again (members of that group are root on this machine)",
        )
    if "no space left" in lower:
        return EngineError(f"the disk is full: {text}", "see what fills it with `docker system df` and `df -h`")
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)) or "timed out" in lower:
        return EngineError(f"the engine did not answer within {TIMEOUT_S} s", "restart the engine")
    if any(
        sign in text for sign in ("FileNotFoundError", "Connection refused", "ConnectionRefused", "Connection aborted")
    ):
        return EngineError(f"no engine answers at {host()}", START_FIX)
    return EngineError(f"the engine said: {text}")


@cache
def connect() -> docker.DockerClient:
    """A client of the engine, after a real call to it.

    Raises:
        EngineError: nothing answers there, or we may not ask.
    """
    with plain_errors():
        environment = os.environ | {"DOCKER_HOST": host()}
        client = docker.DockerClient.from_env(version="auto", timeout=TIMEOUT_S, environment=environment)
        client.ping()
    return client


def is_local() -> bool:
    """Whether the engine's processes and clock are those of this very kernel."""
    if not host().startswith("unix://"):
        return False
    with plain_errors():
        return connect().info().get("KernelVersion") == os.uname().release
