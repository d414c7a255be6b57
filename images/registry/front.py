"""Stands where a registry is expected, on port 5000, and gives the answers that a plain registry never gives.

front.py toomanyrequests     each request is one too many (429)
front.py denied              nobody may do anything (403)
front.py vanish HOST         passes everything on to a registry on HOST, and is gone after a megabyte
"""

import contextlib
import http.server
import json
import os
import socket
import sys
import threading

PORT, CHUNK, ENOUGH = 5000, 1 << 16, 1 << 20

ANSWERS = {
    "toomanyrequests": (429, "You have reached your pull rate limit."),
    "denied": (403, "requested access to the resource is denied"),
}
"""Status and message of each answer; its code is the word itself, as the OCI's specification of registries spells it."""


class Refuses(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.1"  # so that what asks by TLS first is told that this is HTTP

    def do_GET(self):
        status, message = ANSWERS[sys.argv[1]]
        if self.path == "/v2/":  # a registry is there
            status, message = 200, ""
        body = json.dumps({"errors": [{"code": sys.argv[1].upper(), "message": message}]} if message else {}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_GET

    def log_message(self, *arguments):
        """Print no line for each request."""


def vanish(host):
    """Relay connections, and end in the midst of one."""
    seen, lock = 0, threading.Lock()

    def pump(source, target, counted):
        nonlocal seen
        with contextlib.suppress(OSError):  # one end has hung up
            while data := source.recv(CHUNK):
                if counted:
                    with lock:
                        seen += len(data)
                    if seen > ENOUGH:
                        os._exit(1)  # no goodbye: what was open is reset
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    with socket.create_server(("", PORT)) as server:
        while True:
            near, far = server.accept()[0], socket.create_connection((host, PORT))
            for ends in ((near, far, True), (far, near, False)):
                threading.Thread(target=pump, args=ends, daemon=True).start()


if sys.argv[1] == "vanish":
    vanish(sys.argv[2])
else:
    http.server.ThreadingHTTPServer(("", PORT), Refuses).serve_forever()
