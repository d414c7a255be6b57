"""Runs a command in a container, without the docker command: python3 run.py IMAGE COMMAND..."""

import json
import os
import socket
import sys

SOCKET = os.environ.get("ENGINE_SOCKET", "/var/run/docker.sock")


class Refused(Exception):
    pass


class Answer:
    """One answer of the engine's: its status, and its body piece by piece."""

    def __init__(self, method, path, body=b""):
        self.link = socket.socket(socket.AF_UNIX)
        self.link.connect(SOCKET)
        lines = [f"{method} {path} HTTP/1.1", "Host: engine", "Connection: close", f"Content-Length: {len(body)}"]
        lines += ["Content-Type: application/json"] if body else []
        self.link.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        self.kept = b""
        head = self.until(b"\r\n\r\n").decode().split("\r\n")
        self.status = int(head[0].split(" ")[1])
        self.headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in head[1:] if line)}
        if self.status >= 400:
            raise Refused(json.loads(b"".join(self.pieces()))["message"])

    def until(self, mark):
        while mark not in self.kept:
            self.more()
        found, self.kept = self.kept.split(mark, 1)
        return found

    def more(self):
        data = self.link.recv(65536)
        if not data:
            raise EOFError("the engine has closed the connection")
        self.kept += data

    def exactly(self, count):
        while len(self.kept) < count:
            self.more()
        found, self.kept = self.kept[:count], self.kept[count:]
        return found

    def pieces(self):
        if self.headers.get("transfer-encoding") != "chunked":
            yield self.exactly(int(self.headers.get("content-length", 0)))
            return
        while size := int(self.until(b"\r\n"), 16):
            yield self.exactly(size)
            self.exactly(2)


def frames(pieces):
    kept = b""
    for piece in pieces:
        kept += piece
        while len(kept) >= 8 and len(kept) >= 8 + (size := int.from_bytes(kept[4:8], "big")):
            yield kept[0], kept[8 : 8 + size]
            kept = kept[8 + size :]


def value(answer):
    return json.loads(b"".join(answer.pieces()))


def main():
    body = json.dumps({"Image": sys.argv[1], "Cmd": sys.argv[2:]}).encode()
    ident = value(Answer("POST", "/containers/create", body))["Id"]
    try:
        Answer("POST", f"/containers/{ident}/start")
        for stream, data in frames(Answer("GET", f"/containers/{ident}/logs?stdout=1&stderr=1&follow=1").pieces()):
            out = sys.stdout.buffer if stream == 1 else sys.stderr.buffer
            out.write(data)
            out.flush()
        return value(Answer("POST", f"/containers/{ident}/wait"))["StatusCode"]
    finally:
        Answer("DELETE", f"/containers/{ident}?force=1")


try:
    code = main()
except Refused as why:
    print(why, file=sys.stderr)
    code = 125
sys.exit(code)
