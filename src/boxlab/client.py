"""What this machine's docker client is told: where the engine is, by what way, and with what configuration."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import (  # type: ignore[attr-defined]  # typeshed knows one of the two
    getproxies_environment,
    proxy_bypass_environment,
)

from boxlab import disk, paths
from boxlab.errors import EngineError
from boxlab.interrupts import signal_group
from boxlab.language import _

HELPER_S = 5
"""How long a credential helper or a proxy may take to answer."""

TLS_FILES = ("ca.pem", "cert.pem", "key.pem")

START_FIX = _("start Docker Desktop, or `sudo systemctl start docker` (without systemd: `sudo service docker start`)")

FIXES = {
    r"client version \S+ is too (new|old)|API version \S+ is not supported by this client|Minimum supported API|invalid API version": (
        _("`unset DOCKER_API_VERSION`; if it is not set, install a docker command as new as the engine")
    ),
    r"buildx component is missing|unknown command: docker buildx": _(
        "install Docker's buildx plugin (Debian: docker-buildx)"
    ),
    r"getting credentials|docker-credential-|credential helper": (
        _("install the credential helper, or take `credsStore` and `credHelpers` out of ~/.docker/config.json")
    ),
    r"could not be found in this WSL 2 distro": _(
        "start Docker Desktop, and turn on this distribution in its Settings > Resources > WSL integration"
    ),
    r"Cannot connect to the Docker daemon|failed to connect to the docker API|error during connect": START_FIX,
    r"(^|/)\.docker\b": _("`sudo chown -R $(id -u) ~/.docker`, and see that it can be written to"),
    r"docker\.sock|permission denied": (
        _(
            "see whose the file is that is named; for the engine's socket `sudo usermod -aG docker $USER`, then log in again"
        )
    ),
    r"cannot allocate memory|new OS thread|exit code: 137|exit status 137": (
        _("close other programs or give the machine more memory; `ulimit -u` and `ulimit -v` may be too low")
    ),
    r"no space left|quota exceeded": _("see what fills the disk with `docker system df` and `df -h`"),
    r"toomanyrequests": _("wait an hour, or `docker login`: the registry counts what is pulled without an account"),
    r"GLIBC|(docker|command)['\"]?:? not found|cannot execute": _(
        "install Docker's command line anew, as made for this system"
    ),
    r"dial tcp|proxyconnect|no such host|name resolution|network is unreachable": (
        _("is the network there? the engine must reach it as well; `docker info` names the proxies that it uses")
    ),
    r"Unavailable|EOF|connection (reset|refused)": _("restart the engine, and try again"),
}
"""What mends what the docker command or the engine says; the first that is found in it counts."""


def fix_for(text: str, otherwise: str = _("`docker build` by hand, in an empty folder, says the same")) -> str:
    """What mends the machine that said `text`."""
    return next((fix for sign, fix in FIXES.items() if re.search(sign, text, re.IGNORECASE)), otherwise)


@dataclass(frozen=True)
class Endpoint:
    """Where the engine is.

    Attributes:
        address: with its scheme: unix, tcp or ssh.
        said_by: what names it: a variable, a context, or nothing where it was looked for.
        certificates: folder of what TLS needs; None without TLS.
        verify: whether the engine must prove who it is.
    """

    address: str
    said_by: str = ""
    certificates: Path | None = None
    verify: bool = True


def endpoint() -> Endpoint:
    """The engine that the docker command uses: `DOCKER_HOST`, else the chosen context. Where neither is, the first socket of Docker's
    that may be used, such as a rootless engine's, else the first that there is; our own calls of the command are told so.

    Raises:
        EngineError: what names it is wrong.
    """
    if address := os.environ.get("DOCKER_HOST"):
        require_address(address, "DOCKER_HOST")
        verify = bool(os.environ.get("DOCKER_TLS_VERIFY"))
        if not address.startswith("tcp://") or not (verify or os.environ.get("DOCKER_TLS")):
            return Endpoint(address, "DOCKER_HOST")
        folder = Path(os.environ.get("DOCKER_CERT_PATH") or config_folder())
        if missing := [name for name in TLS_FILES if not os.path.isfile(folder / name)]:
            raise EngineError(
                _(
                    "DOCKER_TLS_VERIFY asks for TLS, and {folder} has no {files}",
                    folder=folder,
                    files=", ".join(missing),
                ),
                _("let DOCKER_CERT_PATH name the folder that has them, or `unset DOCKER_TLS_VERIFY`"),
            )
        return Endpoint(address, "DOCKER_HOST", folder, verify)
    return context() or Endpoint(f"unix://{_socket()}")


def _socket() -> Path:
    runtime_dir = Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"))
    sockets = [
        Path("/var/run/docker.sock"),
        Path("~/.docker/run/docker.sock").expanduser(),
        runtime_dir / "docker.sock",
        runtime_dir / "podman/podman.sock",
    ]
    usable = (path for path in sockets[:-1] if os.access(path, os.W_OK))
    return next(usable, None) or next((path for path in sockets if os.path.exists(path)), sockets[0])


def require_address(address: str, said_by: str) -> None:
    """See that an engine's address is one that both the docker command and we can use.

    Raises:
        EngineError: it is none.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, better = "", f"unix://{address}" if address.startswith("/") else f"tcp://{address}"
        if said_by == "DOCKER_HOST":
            fix = _(
                "`export DOCKER_HOST={address}`, or `unset DOCKER_HOST` to use this machine's own engine",
                address=better,
            )
        else:
            fix = _(
                "create it with `host={address}`, or `unset DOCKER_HOST` to use this machine's own engine",
                address=better,
            )
        raise EngineError(_("{variable} is {address!r}, which says no scheme", variable=said_by, address=address), fix)
    wrong = ""
    try:
        parts = urlsplit(address)
        if scheme in ("tcp", "ssh") and not (parts.hostname and (parts.port or scheme == "ssh")):
            wrong = _("it needs a host and a port") if scheme == "tcp" else _("it needs a host")
    except ValueError as error:
        wrong = str(error)
    if scheme == "unix" and not rest.startswith("/"):
        wrong = _("it needs the whole path of a socket")
    if scheme not in ("unix", "tcp", "ssh"):
        wrong = _("on this system no docker client can use {scheme}", scheme=f"{scheme}://")
    if wrong:
        raise EngineError(
            _("{variable} is {address!r}: {why}", variable=said_by, address=address, why=wrong),
            _(
                "set it as {unix}, {tcp} or {ssh}, or `unset DOCKER_HOST` to use this machine's own engine",
                unix="unix:///var/run/docker.sock",
                tcp="tcp://HOST:PORT",
                ssh="ssh://USER@HOST",
            ),
        )


def config_folder() -> Path:
    """The folder of the docker client's configuration."""
    return Path(os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker"))


def config() -> dict[str, Any]:
    """What the docker client is configured to do; nothing where that cannot be read, as the docker command takes it."""
    try:
        return _read_config()
    except EngineError:
        return {}


def _read_config() -> dict[str, Any]:
    """The same.

    Raises:
        EngineError: it cannot be read.
    """
    file = config_folder() / "config.json"
    try:
        read = json.loads(file.read_text())
        if not isinstance(read, dict):
            raise ValueError(_("it holds no object"))
        return read
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise EngineError(f"{file}: {error.strerror}", fix_for(".docker")) from error
    except ValueError as error:
        raise EngineError(
            _("{file} is no configuration of docker's: {why}", file=file, why=error),
            _("mend it, or `rm {file}`", file=file),
        ) from error


def config_trouble() -> Iterator[EngineError]:
    """Why what the docker client is configured to do cannot be read, if so."""
    try:
        _read_config()
    except EngineError as error:
        yield error


def context_name() -> str:
    """The context that is chosen; "default" is none."""
    return os.environ.get("DOCKER_CONTEXT") or str(config().get("currentContext") or "default")


def context() -> Endpoint | None:
    """The engine of the context that is chosen, if any is.

    Raises:
        EngineError: it does not exist, or does not say where an engine is.
    """
    name = context_name()
    if name == "default":
        return None
    said_by = _("the Docker context {name!r}", name=name)
    choose = _("`docker context ls`, then `docker context use NAME`")
    key = hashlib.sha256(name.encode()).hexdigest()
    file = config_folder() / "contexts" / "meta" / key / "meta.json"
    try:
        found = json.loads(file.read_text())["Endpoints"]["docker"]
        address, verify = found["Host"], not found.get("SkipTLSVerify")
    except (FileNotFoundError, NotADirectoryError):
        raise EngineError(_("there is no Docker context {name!r}", name=name), choose) from None
    except OSError as error:
        message = _(
            "the Docker context {name!r} cannot be read: {file}: {why}", name=name, file=file, why=error.strerror
        )
        raise EngineError(message, choose) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(
            _("the Docker context {name!r} does not say where an engine is: {file}", name=name, file=file),
            _("`docker context rm -f {name}` and create it anew, or `docker context use default`", name=name),
        ) from error
    require_address(str(address), said_by)
    certificates = config_folder() / "contexts" / "tls" / key / "docker"
    return Endpoint(address, said_by, certificates if certificates.is_dir() else None, verify)


def own_config() -> Path:
    """A folder of ours for the docker client's configuration: the reader's plug-ins and contexts, and no credentials.

    What we do needs none, and a helper that gives them may be missing or hang; nor need the reader's own folder be writable.
    """
    theirs = config_folder()
    ours = paths.CACHE / "docker" / hashlib.sha256(str(theirs).encode()).hexdigest()[:8]
    ours.mkdir(parents=True, exist_ok=True)
    for name in ("cli-plugins", "contexts"):
        link = ours / name
        if not link.is_symlink() and os.path.isdir(theirs / name):  # Path.is_dir raises where the folder is closed
            with contextlib.suppress(FileExistsError):  # another process of ours was faster
                link.symlink_to(theirs.absolute() / name)
    kept = {name: value for name, value in config().items() if name in ("currentContext", "cliPluginsExtraDirs")}
    # With an entry that nobody asks for, the SDK does not go and look for the reader's.
    content = json.dumps({"auths": {"none.invalid": {}}} | kept)
    file = ours / "config.json"
    if not file.exists() or file.read_text() != content:
        disk.write(file, content)
    return ours


def credentials_trouble() -> Iterator[EngineError]:
    """What is wrong with the configuration's credential helpers, which the reader's own docker commands will ask."""
    read = config()
    helpers = read.get("credHelpers")
    helpers = helpers if isinstance(helpers, dict) else {}
    for name in sorted({str(name) for name in [read.get("credsStore"), *helpers.values()] if name}):
        if wrong := _helper_trouble(f"docker-credential-{name}"):
            yield EngineError(wrong, fix_for("credential helper"))


def _helper_trouble(command: str) -> str:
    """What is wrong with a credential helper, if anything is."""
    if not shutil.which(command):
        return _("docker's credential helper {command} is not installed", command=command)
    try:
        process = subprocess.Popen(
            [command, "list"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:  # as of Windows' own, in WSL
        return _("docker's credential helper {command} does not run: {why}", command=command, why=error.strerror)
    with process:
        try:
            said, _errors = process.communicate(timeout=HELPER_S)
        except subprocess.TimeoutExpired:
            signal_group(process.pid, signal.SIGKILL)
            return _(
                "docker's credential helper {command} does not answer within {seconds} s",
                command=command,
                seconds=HELPER_S,
            )
    if process.returncode:
        return _(
            "docker's credential helper {command} fails, with exit status {status}",
            command=command,
            status=process.returncode,
        )
    try:
        json.loads(said)
    except ValueError:
        return _("docker's credential helper {command} gives no answer", command=command)
    return ""


def is_here(host: str) -> bool:
    """Whether a name or address of a machine is this machine's own, which no other can reach."""
    return host in ("localhost", "::1") or host.startswith("127.")


def proxies(url: str) -> dict[str, str]:
    """The proxy on the way to an engine, by scheme: as for the docker command, none to this very machine."""
    parts = urlsplit(url)
    if is_here(parts.hostname or "") or proxy_bypass_environment(parts.netloc):
        return {}
    return {scheme: proxy for scheme, proxy in getproxies_environment().items() if scheme == parts.scheme}


def configured_proxies() -> dict[str, str]:
    """The proxies that the docker client's configuration has for builds, as variables."""
    found = config().get("proxies")
    default = found.get("default") if isinstance(found, dict) else None
    names = {"httpProxy": "HTTP_PROXY", "httpsProxy": "HTTPS_PROXY", "noProxy": "NO_PROXY", "ftpProxy": "FTP_PROXY"}
    return (
        {names[key]: str(value) for key, value in default.items() if key in names} if isinstance(default, dict) else {}
    )


@cache
def require_proxies() -> None:
    """See that the proxies that the environment names are there, before something waits for them.

    Raises:
        EngineError: one is not.
    """
    for scheme, proxy in sorted(getproxies_environment().items()):
        if scheme not in ("http", "https"):
            continue
        host: str | None = proxy.rpartition("@")[2]
        try:
            parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
            host = parts.hostname
            port = parts.port or {"https": 443, "socks5": 1080, "socks5h": 1080}.get(parts.scheme, 80)
            socket.create_connection((host, port), timeout=HELPER_S).close()
        except (OSError, ValueError) as error:
            raise EngineError(
                _(
                    "the proxy {host} of {variable} does not answer: {why}",
                    host=host,
                    variable=f"{scheme.upper()}_PROXY",
                    why=error,
                ),
                _(
                    "start it or correct the variable, or `unset {variables}`",
                    variables=f"{scheme.upper()}_PROXY {scheme}_proxy",
                ),
            ) from error
