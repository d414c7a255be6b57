"""Says what a word is worth: GET /WORD answers with its number in the model, or 0 if it has none.

The model is read for each question, so that a new one counts at once.
The words that were asked are kept in memory, and appended to a file after every hundredth.
"""

import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

MODEL = Path("/app/model.json")
ASKED = Path("/data/asked.txt")

asked = []


def save():
    """Append the words that were asked since the last time, a line each."""
    with ASKED.open("a") as file:
        file.writelines(f"{word}\n" for word in asked)
    asked.clear()


class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        word = self.path.removeprefix("/")
        try:
            worth = json.loads(MODEL.read_text()).get(word, 0)
        except ValueError:
            self.send_error(500, "the model cannot be read")
            return
        if word != "health":  # Docker asks this one
            asked.append(word)
        if len(asked) == 100:
            save()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{worth}\n".encode())

    def log_message(self, *arguments):
        """Print no line for each question."""


signal.signal(signal.SIGQUIT, lambda number, _: sys.exit(128 + number))  # the signal that the image asks for
try:
    HTTPServer(("", 8000), Service).serve_forever()
finally:
    save()
