"""Runs a command in a container, without the docker command: python3 run.py IMAGE COMMAND..."""

import http.client
import json
import os
import socket
import struct
import sys

SOCKET = os.environ.get("ENGINE_SOCKET", "/var/run/docker.sock")


class EngineError(Exception):
    pass


class Engine(http.client.HTTPConnection):
    def __init__(self):
        super().__init__("docker")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(SOCKET)

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body else {}
        self.request(method, path, json.dumps(body).encode() if body else None, headers)
        answer = self.getresponse()
        if answer.status >= 400:
            raise EngineError(json.loads(answer.read())["message"])
        return answer


def run(image, command):
    engine = Engine()
    made = json.loads(engine.call("POST", "/containers/create", {"Image": image, "Cmd": command}).read())["Id"]
    try:
        # the output first, so that none of it is missed; this connection is no HTTP after the answer's head
        output = Engine().call("POST", f"/containers/{made}/attach?stream=1&stdout=1&stderr=1")
        engine.call("POST", f"/containers/{made}/start").read()
        while header := output.read(8):
            stream, length = struct.unpack(">BxxxL", header)
            out = (sys.stdout if stream == 1 else sys.stderr).buffer
            out.write(output.read(length))
            out.flush()
        return json.loads(engine.call("POST", f"/containers/{made}/wait").read())["StatusCode"]
    finally:
        Engine().call("DELETE", f"/containers/{made}?force=1&v=1").read()


if __name__ == "__main__":
    try:
        code = run(sys.argv[1], sys.argv[2:])
    except EngineError as error:
        print("run.py:", error, file=sys.stderr)
        code = 125
    sys.exit(code)
