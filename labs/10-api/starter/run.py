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


def ask(method, path, body=None):
    """Send a request; returns the response, of which nothing was read yet."""
    connection = Connection("engine")
    content = json.dumps(body) if body is not None else None
    connection.request(method, path, content, {"Content-Type": "application/json"})
    return connection.getresponse()


def main():
    image, *command = sys.argv[1:]
    container = json.load(ask("POST", "/containers/create", {"Image": image, "Cmd": command}))["Id"]
    ask("POST", f"/containers/{container}/start").read()
    ask("POST", f"/containers/{container}/wait").read()
    logs = ask("GET", f"/containers/{container}/logs?stdout=1&stderr=1")
    sys.stdout.buffer.write(logs.read())
    ask("DELETE", f"/containers/{container}").read()


main()
