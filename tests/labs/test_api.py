"""Lab 10's right answers speak to a real engine as well as to the one that the check plays."""

import base64
import contextlib
import http.client
import io
import json
import os
import re
import runpy
import secrets
import signal
import socket as unix
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from boxlab import client, engine, images, paths, waiting

LAB = paths.LABS / "10-api"
RIGHT = [LAB / "solution", *sorted((LAB / "right").iterdir())]
BASE = f"{images.PREFIX}base"


@pytest.fixture
def stage():
    """What the check plays the engine with."""
    return SimpleNamespace(**runpy.run_path(str(LAB / "starter" / "stage.py")))


@pytest.fixture
def socket():
    spoken = engine.connect().version()["ApiVersion"]
    if tuple(map(int, spoken.split("."))) < (1, 44):
        pytest.skip(f"the engine speaks version {spoken} of the API, and not yet that of the right answers")
    address = client.endpoint().address
    if not address.startswith("unix://"):
        pytest.skip(f"run.py needs a Unix socket, and the engine is at {address}")
    return address.removeprefix("unix://")


@pytest.fixture
def start(socket):
    """Starts run.py with a command that has a word of its own, and removes what that would leave."""
    images.ensure("base")
    word = secrets.token_hex(8)

    def starting(folder, image, *command):
        return subprocess.Popen(
            [sys.executable, folder / "run.py", image, *command],
            env=os.environ | {"ENGINE_SOCKET": socket, "WORD": word},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def left():
        every = engine.connect().api.containers(all=True)
        return [container["Id"] for container in every if word in container["Command"]]

    starting.word, starting.left = word, left
    try:
        yield starting
    finally:
        for container in left():
            engine.connect().api.remove_container(container, force=True)


def program(word, text):
    return ["python3", "-uc", f"import os, sys; word = '{word}'\n{text}"]


@pytest.mark.parametrize("folder", RIGHT, ids=lambda folder: folder.name)
def test_a_right_answer_runs_a_command_on_a_real_engine(start, folder):
    # a log is text: of other bytes, the engine's json-file makes U+FFFD
    text = "os.write(1, bytes(range(128)) * 300); os.write(2, 'careful 컨테이너'.encode()); sys.exit(7)"
    with start(folder, BASE, *program(start.word, text)) as process:
        out, errors = process.communicate()
    assert (out, errors, process.returncode) == (bytes(range(128)) * 300, "careful 컨테이너".encode(), 7)
    waiting.until(lambda: not start.left())


@pytest.mark.parametrize("folder", RIGHT, ids=lambda folder: folder.name)
def test_a_right_answer_says_what_a_real_engine_refuses(start, folder):
    for image, command in ((f"no-such-image-{start.word}", "true"), (BASE, f"no-such-command-{start.word}")):
        with start(folder, image, command) as process:
            out, errors = process.communicate()
        assert (out, process.returncode) == (b"", 125)
        assert start.word.encode() in errors and b"Traceback" not in errors
    waiting.until(lambda: not start.left())


@pytest.mark.parametrize("folder", RIGHT, ids=lambda folder: folder.name)
def test_a_right_answer_leaves_nothing_on_a_real_engine_after_ctrl_c(start, stage, folder):
    with start(folder, BASE, *program(start.word, "print('working'); import time; time.sleep(600)")) as process:
        assert process.stdout.readline() == b"working\n"
        assert len(start.left()) == 1
        stage.rest(process)
        process.send_signal(signal.SIGINT)
        process.communicate()
    waiting.until(lambda: not start.left())


def test_ctrl_c_is_pressed_when_a_program_waits_as_python_may_not_notice_it_before(stage):
    deaf = """
import signal, threading, time
ignoring = signal.signal(signal.SIGINT, signal.SIG_IGN)
print("deaf", flush=True)
end = time.monotonic() + 0.5
while time.monotonic() < end:
    pass
signal.signal(signal.SIGINT, ignoring)
threading.Event().wait()
"""
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            stage.rest(process)
            process.send_signal(signal.SIGINT)
            assert b"KeyboardInterrupt" in process.communicate(timeout=waiting.HANG_S)[1]
        finally:
            process.kill()


def test_ctrl_c_is_not_pressed_before_the_container_was_started(stage):
    """However long Python takes to start."""
    sent = []

    class Changed(contextlib.nullcontext):
        def wait_for(self, predicate, patience_s=None):
            if patience_s is None:  # whoever waits without a limit waits until it is so
                engine.started = True
                assert predicate()

    shown, scene = {"stdout": b""}, stage.Scene({"interrupt": base64.b64encode(b"working").decode(), "patience_s": 0})
    engine = SimpleNamespace(changed=Changed(), started=False, over=False, shown=shown, scene=scene)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        stage.interrupt(engine, SimpleNamespace(pid=process.pid, send_signal=lambda _: sent.append(engine.started)))
    assert sent == [True]


@pytest.fixture
def played(stage, tmp_path, monkeypatch):
    """The socket of the engine that the check plays, with the same image; its program waits to be killed."""
    monkeypatch.chdir(tmp_path)
    scene = stage.Scene({"image": BASE, "steps": [["killed"]], "refusal": "", "sizes": [4096], "patience_s": 1})
    with stage.Engine(scene) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        try:
            yield str(tmp_path / stage.SOCKET)
        finally:
            server.shutdown()
            thread.join()


def asked(socket, method, path, body=None, kind="application/json"):
    """Status and message of an engine's answer."""
    link = http.client.HTTPConnection("engine")
    link.sock = unix.socket(unix.AF_UNIX)
    link.sock.connect(socket)
    with contextlib.closing(link):
        link.request(method, path, body and json.dumps(body), {"Content-Type": kind} if body else {})
        answer = link.getresponse()
        content = answer.read()
    told = json.loads(content) if content.startswith(b"{") else {}
    return answer.status, told.get("message"), told.get("StatusCode"), sorted(told)


@pytest.mark.parametrize(
    ("happens", "sent"),
    [
        (lambda server, container: server.live(container), b"\x01\0\0\0\0\0\0\x05first"),
        (lambda server, container: server.end(container, 127, "created"), b""),
        (lambda server, container: server.remove(container), b""),
    ],
    ids=["prints", "is-refused", "is-removed"],
)
def test_who_has_the_head_of_an_attachment_misses_nothing_from_then_on(stage, tmp_path, monkeypatch, happens, sent):
    """However long the thread that streams is kept from it: the program prints, or ends, at once."""
    monkeypatch.chdir(tmp_path)
    steps = [["stdout", base64.b64encode(b"first").decode()], ["end", 0]]
    server = stage.Engine(stage.Scene({"image": BASE, "steps": steps, "refusal": "", "sizes": [4096], "patience_s": 1}))
    container = stage.Container({})

    class Attached(stage.Handler):
        def __init__(self):
            self.server, self.headers, self.query = server, {}, {"stream": ["1"], "stdout": ["1"]}
            self.wfile, self.request_version = io.BytesIO(), "HTTP/1.1"
            self.piece = lambda data, chunked: self.wfile.write(data)

        def end_headers(self):
            super().end_headers()
            with server.changed:
                happens(server, container)

    with contextlib.closing(server.socket):
        handler = Attached()
        handler.POST_attach(container)
    assert handler.wfile.getvalue().partition(b"\r\n\r\n")[2] == sent


def test_the_engine_that_is_played_answers_as_a_real_one(start, socket, played):
    version = engine.connect().version()["Version"]
    if int(version.split(".")[0]) < 28:
        pytest.skip(f"the engine, {version}, says the same in other words")
    name, body = f"lab-10-{start.word}", {"Image": BASE, "Cmd": ["sh", "-c", f"sleep 600 # {start.word}"]}
    requests = [
        ("GET", "/nothing"),
        ("POST", f"/containers/{name}/start"),
        ("GET", f"/images/missing-{start.word}/json"),
        ("POST", "/containers/create", {"Image": f"missing-{start.word}"}),
        ("POST", "/containers/create", body, "text/plain"),
        ("POST", f"/containers/create?name={name}", body),
        ("POST", f"/containers/{name}/stop"),
        ("POST", f"/containers/{name}/wait"),
        ("GET", f"/containers/{name}/logs?follow=1&stdout=1"),
        ("GET", f"/containers/{name}/logs"),
        ("POST", f"/v1.44/containers/{name}/start"),
        ("POST", f"/containers/{name}/start"),
        ("DELETE", f"/containers/{name}"),
        ("POST", f"/containers/{name}/kill"),
        ("POST", f"/containers/{name}/wait"),
        ("POST", f"/containers/{name}/stop"),
        ("POST", f"/containers/{name}/start"),
        ("POST", f"/containers/{name}/stop?t=0"),
        ("POST", f"/containers/{name}/wait"),
        ("DELETE", f"/containers/{name}"),
        ("DELETE", f"/containers/{name}"),
    ]
    for request in requests:
        real, ours = asked(socket, *request), asked(played, *request)
        # a real engine names a container in its messages as it was asked for
        assert re.sub(r'"[0-9a-f]{64}"', f'"{name}"', str(ours)) == str(real), request
