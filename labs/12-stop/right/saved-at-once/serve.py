"""Says what a word is worth. Each word is written when it is asked; `serve.py health` asks whether all is well."""

import json
import os
import signal
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

if sys.argv[1:] == ["health"]:
    with urllib.request.urlopen("http://localhost:8000/health", timeout=2) as answer:
        sys.exit(0 if answer.read().strip() == b"0" else "no number")


class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        with open("/app/model.json") as file:
            worth = json.load(file).get(self.path[1:], 0)  # a model that is none: the connection ends without an answer
        if self.path != "/health":
            print(self.path[1:], file=asked, flush=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(worth).encode())


asked = open("/data/asked.txt", "a")
signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))  # nothing is left to save
HTTPServer(("", 8000), Service).serve_forever()
