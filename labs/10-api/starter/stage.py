"""What the check plays: an engine at the socket engine.sock, with one image, one program to run, and a container of somebody else's; it starts nothing.

It answers as Docker's API does where a program such as run.py may ask. Its input is a scene, as JSON; see `Scene`. It runs
`run.py`, and prints what that prints, and then, as JSON, what became of it.
"""

import array
import base64
import contextlib
import ctypes
import fcntl
import itertools
import json
import os
import re
import secrets
import signal
import socketserver
import subprocess
import sys
import termios
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

SOCKET = "engine.sock"

DRAINED_S = 2
"""How long a piece may wait to be read before the next one follows."""

AT_REST_S = 2
"""How long run.py may go on working before Ctrl-C is pressed all the same."""


class Scene:
    """What is played.

    Attributes:
        image: the one that there is.
        argv: the arguments of run.py.
        steps: what the container's program does: [stream, text in base64], ["shown", stream, text in base64], which waits until
            run.py has shown that there, ["killed"], which waits to be killed, and ["end", status].
        refusal: why the engine cannot start it, if it cannot; with status 500, as for a port that is taken.
        sizes: of the pieces in which its output arrives, in bytes.
        patience_s: how long "shown" waits.
        interrupt: what run.py shows before Ctrl-C is pressed, in base64; nothing if it isn't.
    """

    def __init__(self, told):
        self.__dict__.update(told)


class Container:
    """What the engine knows of one.

    Attributes:
        ends: how often there came what ends waiting for it: its program's end, a start that was refused, its removal.
    """

    def __init__(self, body):
        self.id, self.body, self.state, self.status = secrets.token_hex(32), body, "created", 0
        self.frames, self.ends, self.killed = [], 0, False

    @property
    def terminal(self):
        return self.body.get("Tty", False)

    @property
    def removes_itself(self):
        return (self.body.get("HostConfig") or {}).get("AutoRemove", False)


class Engine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, scene):
        super().__init__(SOCKET, Handler)
        self.scene, self.containers, self.names, self.changed = scene, {}, {}, threading.Condition()
        self.asked, self.created, self.late, self.shown = [], [], [], {"stdout": b"", "stderr": b""}
        self.started, self.over = False, False
        self.other = Container({"Image": scene.image})  # somebody else's, which runs
        self.other.state, self.containers[self.other.id] = "running", self.other

    def live(self, container):
        """Be the container's program."""
        status = 137
        for what, *told in self.scene.steps:
            with self.changed:
                if what == "shown":
                    stream, wanted = told[0], base64.b64decode(told[1])
                    self.changed.wait_for(
                        lambda stream=stream, wanted=wanted: (
                            wanted in self.shown[stream] or self.over or container.killed
                        ),
                        self.scene.patience_s,
                    )
                    if wanted not in self.shown[stream]:
                        self.late.append(stream)
                elif what == "killed":
                    self.changed.wait_for(lambda: container.killed or self.over)
                elif what == "end":
                    status = told[0]
                else:
                    container.frames.append((what, base64.b64decode(told[0])))
                self.changed.notify_all()
                if container.killed:
                    break
        with self.changed:
            self.end(container, 137 if container.killed else status)

    def end(self, container, status, state="exited"):
        container.state, container.status, container.ends = state, status, container.ends + 1
        if container.removes_itself:
            self.remove(container)
        self.changed.notify_all()

    def kill(self, container):
        """Kill its program; returns whether it ran."""
        with self.changed:
            if container.state != "running":
                return False
            if container is self.other:
                self.end(container, 137)
                return True
            container.killed = True
            self.changed.notify_all()
            return self.changed.wait_for(lambda: container.state != "running")

    def remove(self, container):
        self.containers.pop(container.id, None)
        self.names = {name: one for name, one in self.names.items() if one is not container}
        container.ends += 1
        self.changed.notify_all()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, content=None):
        data = (
            b"" if content is None else content if isinstance(content, bytes) else json.dumps(content).encode() + b"\n"
        )
        self.send_response(status)
        if data or status not in (204, 304):
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def refuse(self, status, message):
        self.answer(status, {"message": message})

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def do_GET(self):
        body, engine = self.body(), self.server
        parts = urlsplit(self.path)
        path, self.query = re.sub(r"^/v1\.\d+(?=/)", "", parts.path), parse_qs(parts.query, keep_blank_values=True)
        engine.asked.append(f"{self.command} {path}")
        if path == "/_ping":
            self.answer(200, b"OK")
        elif (self.command, path) == ("GET", "/version"):
            self.answer(200, {"Version": "28.5.2", "ApiVersion": "1.51", "MinAPIVersion": "1.44"})
        elif (self.command, path) == ("POST", "/containers/create"):
            self.create(body)
        elif (self.command, path) == ("GET", "/containers/json"):
            self.list()
        elif found := re.fullmatch(r"/images/(.+)/json", path):
            image = tagged(found[1])
            known = image == tagged(engine.scene.image)
            self.answer(200, {"Id": "sha256:" + "0" * 64}) if known else self.refuse(404, f"No such image: {image}")
        elif found := re.fullmatch(r"/containers/([^/]+)(?:/(\w+))?", path):
            with engine.changed:
                which = [c for c in engine.containers.values() if len(found[1]) > 3 and c.id.startswith(found[1])]
                container = engine.names.get(found[1]) or (which[0] if len(which) == 1 else None)
            verb = getattr(self, f"{self.command}_{found[2] or 'itself'}", None)
            if not container:
                self.refuse(404, f"No such container: {found[1]}")
            elif verb:
                verb(container)
            else:
                self.refuse(404, "page not found")
        else:
            self.refuse(404, "page not found")

    do_POST = do_DELETE = do_HEAD = do_GET

    def said(self, name):
        """Whether the query says yes to something, as the engine reads that."""
        return self.query.get(name, [""])[0].lower() not in ("", "0", "no", "false", "none")

    def list(self):
        """Answer with the containers that run, or with all of them; of these, with those that fit the filters."""
        engine, every = self.server, self.said("all")
        try:
            filters = {what: set(values) for what, values in json.loads(self.query.get("filters", ["{}"])[0]).items()}
        except (ValueError, TypeError, AttributeError) as error:
            return self.refuse(400, f"invalid filter: {error}")
        if unknown := filters.keys() - {"id", "label", "name"}:
            return self.refuse(400, f"this engine does not know the filters {', '.join(unknown)}")
        with engine.changed:
            found = [c for c in engine.containers.values() if every or c.state == "running"]
            found = [c for c in found if all(self.fits(c, what, values) for what, values in filters.items())]
            self.answer(200, [{"Id": c.id, "State": c.state} for c in found])

    def fits(self, container, what, values):
        """Whether a container has all of these labels, or one of these names or IDs."""
        labels = container.body.get("Labels") or {}
        if what == "label":
            return values <= labels.keys() | {f"{name}={value}" for name, value in labels.items()}
        names = [name for name, named in self.server.names.items() if named is container]
        has = [container.id] if what == "id" else names
        return any(value.lstrip("/") in each for each in has for value in values)

    def create(self, body):
        engine, kind = self.server, self.headers.get("Content-Type", "")
        if kind.partition(";")[0].strip() != "application/json":
            return self.refuse(400, f"unsupported Content-Type header ({kind}): must be 'application/json'")
        try:
            asked = json.loads(body)
            image, command = tagged(asked["Image"]), asked.get("Cmd") or []
            if wrong := [name for name in ("HostConfig", "Labels") if not isinstance(asked.get(name) or {}, dict)]:
                raise ValueError(f"cannot unmarshal {', '.join(wrong)} into an object")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return self.refuse(400, f"invalid JSON: {error}")
        if image != tagged(engine.scene.image):
            return self.refuse(404, f"No such image: {image}")
        name = self.query.get("name", [""])[0]
        with engine.changed:
            if name in engine.names:
                return self.refuse(409, f'Conflict. The container name "/{name}" is already in use.')
            container = Container(asked)
            engine.containers[container.id] = container
            if name:
                engine.names[name] = container
            engine.created.append([command] if isinstance(command, str) else command)
        self.answer(201, {"Id": container.id, "Warnings": []})

    def POST_start(self, container):
        engine = self.server
        with engine.changed:
            if container.state == "running":
                return self.answer(304)
            if engine.scene.refusal:
                engine.end(container, 127, state="created")
                return self.refuse(500, engine.scene.refusal)
            container.state, container.killed, engine.started = "running", False, True
            engine.changed.notify_all()
        threading.Thread(target=engine.live, args=[container], daemon=True).start()
        self.answer(204)

    def POST_wait(self, container):
        engine, condition = self.server, self.query.get("condition", ["not-running"])[0]
        before = container.ends
        chunked = self.begin("application/json")
        with engine.changed:
            engine.changed.wait_for(
                {
                    "not-running": lambda: container.state != "running",
                    "next-exit": lambda: container.ends > before,
                    "removed": lambda: container.id not in engine.containers,
                }.get(condition, lambda: True)
            )
        self.piece(json.dumps({"StatusCode": container.status}).encode() + b"\n", chunked)
        self.finish_body(chunked)

    def GET_json(self, container):
        running = container.state == "running"
        state = {"Status": container.state, "Running": running, "ExitCode": container.status}
        self.answer(200, {"Id": container.id, "State": state, "Config": {"Tty": container.terminal}})

    def POST_kill(self, container):
        name = self.query.get("signal", ["KILL"])[0].upper().removeprefix("SIG")
        if container.state == "running" and name not in ("KILL", "9"):
            return self.answer(204)  # process 1 has no handler for it, and the kernel drops it
        if not self.server.kill(container):
            return self.refuse(409, f"container {container.id} is not running")
        self.answer(204)

    def POST_stop(self, container):
        self.answer(204 if self.server.kill(container) else 304)

    def DELETE_itself(self, container):
        engine = self.server
        with engine.changed:
            if container.state == "running" and not self.said("force"):
                return self.refuse(
                    409,
                    f'cannot remove container "{container.id}": container is running: stop the container before removing or '
                    "force remove",
                )
            engine.kill(container)
            engine.remove(container)
        self.answer(204)

    def GET_logs(self, container):
        if not (self.said("stdout") or self.said("stderr")):
            return self.refuse(400, "Bad parameters: you must choose at least one stream")
        before, tail = container.ends, self.query.get("tail", ["all"])[0]
        first = max(0, len(container.frames) - int(tail)) if tail.isdecimal() else 0
        chunked = self.begin(f"application/vnd.docker.{'raw' if container.terminal else 'multiplexed'}-stream")
        self.stream(
            container, first, before, follow=self.said("follow") and container.state == "running", chunked=chunked
        )

    def POST_attach(self, container):
        self.close_connection = True
        # before the head, after which it may be started
        first, before = 0 if self.said("logs") else len(container.frames), container.ends
        upgrade = "upgrade" in self.headers.get("Connection", "").lower()
        self.send_response_only(101, "UPGRADED") if upgrade else self.send_response_only(200, "OK")
        self.send_header("Content-Type", f"application/vnd.docker.{'multiplexed' if upgrade else 'raw'}-stream")
        if upgrade:
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "tcp")
        self.end_headers()
        self.stream(container, first, before, follow=self.said("stream"), chunked=False)

    def stream(self, container, sent, before, follow, chunked):
        """Send its output, from a frame on, until it ends once more than `before`; what there is, if nothing is to be followed."""
        engine = self.server
        sizes = itertools.cycle(engine.scene.sizes)
        while True:
            with engine.changed:
                if follow:
                    engine.changed.wait_for(
                        lambda sent=sent: (
                            len(container.frames) > sent or container.state == "exited" or container.ends > before
                        )
                    )
                fresh = container.frames[sent:]
            if not fresh:
                break
            sent += len(fresh)
            data = b"".join(self.frame(container, name, text) for name, text in fresh)
            while data:
                size = next(sizes)
                self.piece(data[:size], chunked)
                data = data[size:]
            if not follow:
                break
        self.finish_body(chunked)

    def frame(self, container, name, text):
        """What a program has printed on one of its streams, as it is sent."""
        if self.said("timestamps"):
            text = b"2026-01-01T00:00:00.000000000Z " + text
        if container.terminal:  # which has one stream, and ends each line its own way
            return text.replace(b"\n", b"\r\n") if self.said("stdout") else b""
        header = bytes([{"stdout": 1, "stderr": 2}[name], 0, 0, 0]) + len(text).to_bytes(4, "big")
        return header + text if self.said(name) else b""

    def begin(self, kind):
        """Begin an answer whose length isn't known yet; returns whether it comes in chunks, which HTTP/1.0 doesn't have."""
        chunked = self.request_version != "HTTP/1.0"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header(*("Transfer-Encoding", "chunked") if chunked else ("Connection", "close"))
        self.end_headers()
        return chunked

    def finish_body(self, chunked):
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def piece(self, data, chunked):
        """Send a piece, and let it be read before the next one, so that pieces arrive as they were cut."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
        left, deadline = array.array("i", [1]), time.monotonic() + DRAINED_S
        while left[0] and time.monotonic() < deadline and sys.platform == "linux":
            fcntl.ioctl(self.connection, termios.TIOCOUTQ, left)
            time.sleep(0.0005 if left[0] else 0)

    def handle(self):
        with contextlib.suppress(ConnectionError):  # whoever asked has gone
            super().handle()

    def address_string(self):
        return "run.py"

    def log_message(self, *arguments):
        pass


def tagged(image):
    return image if ":" in image else f"{image}:latest"


def take(engine, pipe, stream):
    """Keep what run.py prints on one of its streams, as it comes, and print it, for who reads of a program that never ends."""
    while data := os.read(pipe.fileno(), 65536):
        with engine.changed:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            engine.shown[stream] += data
            engine.changed.notify_all()


def rest(process):
    """Let a program come to where it waits: while Python closes something, it takes no notice of Ctrl-C."""
    before, deadline = None, time.monotonic() + AT_REST_S
    while sys.platform == "linux" and time.monotonic() < deadline:
        told = r"^(?:State|(?:non)?voluntary_ctxt_switches):\t(\w+)"
        with contextlib.suppress(OSError):  # a thread that ends meanwhile
            threads = Path(f"/proc/{process.pid}/task").glob("*/status")
            now = [re.findall(told, thread.read_text(), re.MULTILINE) for thread in threads]
            if now == before and all(state == "S" for state, *_switches in now):
                return
            before = now
        time.sleep(0.02)


def interrupt(engine, process):
    """Press Ctrl-C once run.py has started the container, has shown something, and waits."""
    wanted = base64.b64decode(engine.scene.interrupt)
    with engine.changed:
        engine.changed.wait_for(lambda: engine.started or engine.over)
        engine.changed.wait_for(lambda: wanted in engine.shown["stdout"] or engine.over, engine.scene.patience_s)
    rest(process)
    with engine.changed:
        if not engine.over:
            print("(Ctrl-C is pressed)", flush=True)
            process.send_signal(signal.SIGINT)


def main():
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(
            4, 0
        )  # PR_SET_DUMPABLE: run.py can neither read nor change what this process has in its memory
    told = json.load(sys.stdin)
    secret, scene = told.pop("secret"), Scene(told)
    engine = Engine(scene)
    threading.Thread(target=engine.serve_forever, args=[0.05], daemon=True).start()
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(
        [sys.executable, "run.py", *scene.argv],
        env=usual | {"ENGINE_SOCKET": SOCKET},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    takers = [threading.Thread(target=take, args=[engine, getattr(process, stream), stream]) for stream in engine.shown]
    if scene.interrupt:
        takers.append(threading.Thread(target=interrupt, args=[engine, process]))
    for taker in takers:
        taker.start()
    status = process.wait()
    with engine.changed:
        engine.over = True
        engine.changed.notify_all()
    for taker in takers:
        taker.join()
    report = {
        "status": status,
        "shown": base64.b64encode(engine.shown["stdout"]).decode(),
        "errors": base64.b64encode(engine.shown["stderr"]).decode(),
        "asked": engine.asked,
        "created": engine.created,
        "started": engine.started,
        "late": engine.late,
        "left": [container.state for container in engine.containers.values() if container is not engine.other],
        "other": engine.other.state if engine.other.id in engine.containers else "removed",
    }
    print(secret + json.dumps(report))


if __name__ == "__main__":
    main()
