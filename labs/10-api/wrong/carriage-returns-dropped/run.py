"""Runs a command in a container, without the docker command: python3 run.py IMAGE COMMAND...

It speaks to the engine at its socket, and needs nothing but Python's own library.
"""

import http.client
import json
import os
import socket
import sys

SOCKET = os.environ.get("ENGINE_SOCKET", "/var/run/docker.sock")


class Connection(http.client.HTTPConnection):
    """HTTP to the engine's socket in place of a port."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)


class Refused(Exception):
    """The engine's message, where it refuses."""


def ask(method, path, body=None):
    """Send a request; returns the response, of which nothing was read yet.

    Raises:
        Refused: the engine answers with an error.
    """
    connection = Connection("engine")
    content = json.dumps(body) if body is not None else None
    connection.request(method, path, content, {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status >= 400:
        raise Refused(json.load(response)["message"])
    return response


def show(logs):
    """Write each frame of a log to the stream that it came from, as it comes."""
    streams = {1: sys.stdout.buffer, 2: sys.stderr.buffer}
    while header := logs.read(8):
        stream, size = streams[header[0]], int.from_bytes(header[4:], "big")
        stream.write(logs.read(size).replace(b"\r\n", b"\n"))
        stream.flush()


def main():
    image, *command = sys.argv[1:]
    container = json.load(ask("POST", "/containers/create", {"Image": image, "Cmd": command}))["Id"]
    try:
        ask("POST", f"/containers/{container}/start").read()
        show(ask("GET", f"/containers/{container}/logs?follow=1&stdout=1&stderr=1"))
        return json.load(ask("POST", f"/containers/{container}/wait"))["StatusCode"]
    finally:
        ask("DELETE", f"/containers/{container}?force=1").read()


try:
    sys.exit(main())
except Refused as error:
    print(error, file=sys.stderr)
    sys.exit(125)
