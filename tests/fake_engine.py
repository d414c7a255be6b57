"""An engine that answers what a test says, on a socket or a port; it can stall until it is told to go on."""

import contextlib
import http.server
import json
import re
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from boxlab.waiting import HANG_S

VERSION = {"ApiVersion": "1.51", "MinAPIVersion": "1.44", "Version": "28.5.2", "Components": []}


class FakeEngine:
    """What it says, and what it was asked.

    Attributes:
        answers: by the end of a path, without the API's version: an object, or status and object.
        asked: method and path of each request so far.
        goes_on: while it is not set, no answer is given.
    """

    def __init__(self, address: str):
        self.address = address
        self.answers = {"/version": VERSION, "/_ping": b"OK", "/info": {"SystemTime": "2026-01-01T00:00:00.123456789Z"}}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.goes_on = threading.Event()
        self.goes_on.set()

    def answer(self, path: str) -> tuple[int, bytes]:
        self.goes_on.wait(HANG_S)
        said = self.answers.get(re.sub(r"^/v[\d.]+(?=/)|\?.*", "", path), (404, {"message": f"no such thing: {path}"}))
        status, content = said if isinstance(said, tuple) else (200, said)
        return status, content if isinstance(content, bytes) else json.dumps(content).encode()


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextlib.contextmanager
def fake_engine(socket: Path | None = None, certificates: Path | None = None) -> Iterator[FakeEngine]:
    """Such an engine at a socket, or at a port of this machine; there by TLS, where it is given `certificates`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            engine.asked.append(f"{self.command} {self.path}")
            engine.headers.append(dict(self.headers))
            status, content = engine.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a client may have given up meanwhile
                self.end_headers()
                self.wfile.write(content)

        do_POST = do_DELETE = do_HEAD = do_GET

        def address_string(self):
            return "test"

        def log_message(self, *arguments):
            pass

    server = _UnixServer(str(socket), Handler) if socket else http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificates:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem")
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as the real one
        tls.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    engine = FakeEngine(f"unix://{socket}" if socket else f"tcp://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        engine.goes_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


def make_certificates(folder: Path) -> Path:
    """An authority, and a certificate of this machine that serves both sides: ca.pem, cert.pem, key.pem."""
    folder.mkdir(parents=True)
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\n")
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes".split()
    for command in (
        ["req", "-x509", *key, "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=authority"],
        ["req", *key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=127.0.0.1"],
        "x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -extfile extensions -out cert.pem".split(),
    ):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    return folder
