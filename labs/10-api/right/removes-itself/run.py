"""Runs a command in a container, without the docker command: python3 run.py IMAGE COMMAND..."""

import http.client
import json
import os
import socket
import sys
import threading

SOCKET = os.environ.get("ENGINE_SOCKET", "/var/run/docker.sock")


class Link(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)


def ask(method, path, body=None, link=None):
    link = link or Link("localhost")
    link.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"} if body else {})
    answer = link.getresponse()
    if answer.status >= 400:
        sys.exit(refused(answer))
    return answer


def refused(answer):
    print(json.loads(answer.read().decode())["message"], file=sys.stderr, flush=True)
    return 125


def take(stream, count):
    """So many bytes of a stream, however they arrive; fewer at its end."""
    data = bytearray()
    while len(data) < count and (more := stream.read1(count - len(data))):
        data += more
    return bytes(data)


image, command = sys.argv[1], sys.argv[2:]
settings = {"Image": image, "Cmd": command, "HostConfig": {"AutoRemove": True}}
name = json.loads(ask("POST", "/containers/create", settings).read())["Id"]
ended = {}


def wait(link):
    ended["status"] = json.loads(link.getresponse().read())["StatusCode"]


waiting = Link("localhost")
waiting.request("POST", f"/containers/{name}/wait?condition=removed")
output = ask("POST", f"/containers/{name}/attach?stream=1&stdout=1&stderr=1")
ask("POST", f"/containers/{name}/start")
waiter = threading.Thread(target=wait, args=[waiting], daemon=True)
waiter.start()
try:
    while len(head := take(output, 8)) == 8:
        data = take(output, int.from_bytes(head[4:], "big"))
        os.write(head[0], data)
    waiter.join()
except KeyboardInterrupt:
    link = Link("localhost")
    link.request("POST", f"/containers/{name}/kill")
    link.getresponse().read()
    waiter.join()
sys.exit(ended["status"])
