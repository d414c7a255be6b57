"""Runs a command in a container, without the docker command: python3 run.py IMAGE COMMAND..."""

import json
import os
import socket
import sys

SOCKET = os.environ.get("ENGINE_SOCKET", "/var/run/docker.sock")


def ask(request, body=None):
    """Send a request of HTTP/1.0, whose answer is not cut in chunks; returns a file with the answer, and its status."""
    content = b"" if body is None else json.dumps(body).encode()
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.connect(SOCKET)
    head = f"{request} HTTP/1.0\r\nHost: engine\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    link.sendall(head.encode() + content)
    answer = link.makefile("rb")
    status = int(answer.readline().split()[1])
    while answer.readline().strip():
        pass
    return status, answer


def must(request, body=None):
    status, answer = ask(request, body)
    if status >= 400:
        sys.stderr.write(json.loads(answer.read())["message"] + "\n")
        raise SystemExit(125)
    return answer


def main():
    body = {"Image": sys.argv[1], "Cmd": sys.argv[2:], "AttachStdout": True, "AttachStderr": True}
    ident = json.loads(must("POST /v1.44/containers/create", body).read())["Id"]
    try:
        must(f"POST /v1.44/containers/{ident}/start")
        logs = must(f"GET /v1.44/containers/{ident}/logs?follow=true&stdout=true&stderr=true")
        while len(header := logs.read(8)) == 8:
            data = logs.read(int.from_bytes(header[4:8], "big"))
            os.write(1 if header[0] == 1 else 2, data)
        sys.exit(json.loads(must(f"POST /v1.44/containers/{ident}/wait").read())["StatusCode"])
    finally:
        ask(f"DELETE /v1.44/containers/{ident}?force=true")


main()
