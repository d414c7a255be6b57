"""The SDK's client of an engine, told all that the SDK would otherwise take from its surroundings: as the docker command does.

It needs no credentials, goes through no proxy to this machine, knows the engine's certificate authority and no other, and
reaches an engine by ssh through the system's own ssh.
"""

import contextlib
import os
import socket
import ssl
import subprocess
import threading
import weakref
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any
from urllib.parse import SplitResult, urlsplit

import docker
import docker.constants
import docker.tls
import requests
import requests.adapters
import urllib3
import urllib3.util.ssl_
from docker.transport.basehttpadapter import BaseHTTPAdapter

from boxlab import client, progress
from boxlab.errors import EngineError
from boxlab.language import _

LEAST_API = "1.24"
"""The oldest version of the engine's API that the SDK speaks."""

STOP_S = 5
"""How long ssh may take to end once its connection is gone."""


def open_client(endpoint: client.Endpoint, version: str, timeout_s: int) -> docker.DockerClient:
    """A client that has asked the engine nothing yet, and says on standard error when it waits for it.

    It gives up an engine that says nothing for `timeout_s` seconds, unless it is to say when a container has ended.

    To close it is to hang up, also on what it is still being answered; the SDK's own would only forget idle connections.

    Raises:
        EngineError: there is no way to it.
        what the SDK raises: see `engine.plain_errors`.
    """
    by_ssh = endpoint.address.startswith("ssh://")
    address = "unix:///ssh" if by_ssh else endpoint.address
    with _configured():
        made = docker.DockerClient(base_url=address, version=version, timeout=timeout_s, tls=_tls(endpoint))
    api = made.api
    api.trust_env = False  # else a variable would replace the engine's authority, or send us through a proxy
    if endpoint.address.startswith("tcp://"):
        api.proxies = client.proxies(api.base_url)
        if endpoint.certificates:
            api.mount("https://", _TlsAdapter())
    if by_ssh:
        api.mount("http+docker://", _Adapter(_SshConnection, timeout_s, ssh=urlsplit(endpoint.address)))
    elif endpoint.address.startswith("unix://"):
        path = endpoint.address.removeprefix("unix://")
        api.mount("http+docker://", _Adapter(_UnixConnection, timeout_s, path=path))
    send, close = api.send, api.close
    answers: weakref.WeakSet[requests.Response] = weakref.WeakSet()

    def said(request: requests.PreparedRequest, **options: Any) -> requests.Response:
        path = urlsplit(str(request.url)).path
        if options.get("timeout") is None and not path.endswith("/wait"):
            options["timeout"] = timeout_s  # of silence; for a pull and other streams, the SDK has no limit
        ends = path.endswith(("/wait", "/stop", "/restart")) or "/exec/" in path  # answered when what runs has ended
        with (
            contextlib.nullcontext()
            if ends
            else progress.waiting(_("the engine at {address} (if this goes on, restart it)", address=endpoint.address))
        ):
            answer = send(request, **options)
        answers.add(answer)
        return answer

    def hang_up() -> None:
        for answer in list(answers):
            answer.close()
        close()

    api.send, api.close = said, hang_up  # type: ignore[method-assign]  # of this one client
    return made


@contextlib.contextmanager
def _configured() -> Iterator[None]:
    """While the SDK reads a configuration, it is ours."""
    before = os.environ.get("DOCKER_CONFIG")
    os.environ["DOCKER_CONFIG"] = str(client.own_config())
    try:
        yield
    finally:
        if before is None:
            del os.environ["DOCKER_CONFIG"]
        else:
            os.environ["DOCKER_CONFIG"] = before


def _tls(endpoint: client.Endpoint) -> docker.tls.TLSConfig | bool:
    if not endpoint.certificates:
        return False
    authority, certificate, key = (str(endpoint.certificates / name) for name in client.TLS_FILES)
    own = (certificate, key) if os.path.isfile(certificate) and os.path.isfile(key) else None
    known = authority if os.path.isfile(authority) else None
    return docker.tls.TLSConfig(client_cert=own, ca_cert=known, verify=endpoint.verify)


class _TlsAdapter(requests.adapters.HTTPAdapter):
    """Takes the certificates that the docker command takes: from 3.13 on, Python wants more of them than Docker's guide makes."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        context = urllib3.util.ssl_.create_urllib3_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        super().init_poolmanager(*arguments, **options, ssl_context=context)


class _Adapter(BaseHTTPAdapter):
    """Sends requests over one kind of connection, which needs neither names nor proxies."""

    def __init__(self, kind: type[urllib3.connection.HTTPConnection], timeout_s: float, **options: Any):
        super().__init__()
        self._kind, self._options = (
            kind,
            {"timeout": timeout_s, "maxsize": docker.constants.DEFAULT_MAX_POOL_SIZE} | options,
        )
        self._pool: urllib3.HTTPConnectionPool | None = None

    def get_connection(self, url: str | bytes, proxies: object = None) -> urllib3.HTTPConnectionPool:
        if not self._pool:
            self._pool = urllib3.HTTPConnectionPool("localhost", **self._options)
            self._pool.ConnectionCls = self._kind
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: object) -> str:
        return request.path_url

    def close(self) -> None:
        """Hang up; the next request connects again."""
        if self._pool:
            self._pool.close()
        self._pool = None
        super().close()


class _UnixConnection(urllib3.connection.HTTPConnection):
    """A connection to a socket; unlike the SDK's, it leaves none open where nobody listens."""

    def __init__(self, *arguments: Any, path: str, **options: Any):
        super().__init__(*arguments, **options)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._path)
        except OSError:
            self.close()
            raise


class _SshConnection(urllib3.connection.HTTPConnection):
    """A connection whose other end is the input and output of an ssh process."""

    def __init__(self, *arguments: Any, ssh: SplitResult, **options: Any):
        super().__init__(*arguments, **options)
        self._ssh = ssh

    def connect(self) -> None:
        command = ["ssh", "-o", "ConnectTimeout=10", "-o", "BatchMode=yes", "-T"]
        command += ["-l", self._ssh.username] if self._ssh.username else []
        command += ["-p", str(self._ssh.port)] if self._ssh.port else []
        remote = [
            "docker",
            *(["--host", f"unix://{self._ssh.path}"] if self._ssh.path.strip("/") else []),
            "system",
            "dial-stdio",
        ]
        near, far = socket.socketpair()
        try:
            self._ended = _Ended([*command, "--", self._ssh.hostname or "", *remote], far)
        except BaseException as error:
            near.close()
            if not isinstance(error, FileNotFoundError):
                raise
            fix = "`sudo apt-get install openssh-client`"
            raise EngineError(_("the engine is behind ssh, which is not installed"), fix) from error
        finally:
            far.close()
        near.settimeout(self.timeout)
        self.sock = near

    def getresponse(self) -> urllib3.response.HTTPResponse:  # type: ignore[override]  # as in urllib3
        try:
            return super().getresponse()
        except (HTTPException, ConnectionError) as error:
            self._ended.join(STOP_S)
            host = self._ssh.netloc.replace(":", " -p ")
            raise EngineError(
                _(
                    "no engine answers by ssh at {host}: {why}",
                    host=self._ssh.hostname,
                    why=self._ended.said or _("ssh ended without a word"),
                ),
                _(
                    "`ssh {host} docker version` by hand must work without a question; `ssh-add` takes your key",
                    host=host,
                ),
            ) from error


class _Ended(threading.Thread):
    """Waits for an ssh process, which ends with our end of its connection.

    Attributes:
        said: what it said on standard error, in one line, once it has ended.
    """

    def __init__(self, command: list[str], connection: socket.socket):
        super().__init__(daemon=True)
        self.said = ""
        self._process = subprocess.Popen(
            command,
            stdin=connection.fileno(),
            stdout=connection.fileno(),
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            self.start()
        except RuntimeError:  # no further thread is allowed: nobody would wait for it
            with self._process:
                self._process.kill()
            raise

    def run(self) -> None:
        with self._process as process:
            assert process.stderr  # a pipe
            self.said = " ".join(process.stderr.read().split())
