"""Keeps notes: GET /add/WORD adds a line to the file, and GET /list answers with all of them."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

NOTES = Path("/data/notes.txt")


class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            if self.path.startswith("/add/"):
                with NOTES.open("a") as file:
                    file.write(self.path.removeprefix("/add/") + "\n")
            notes = NOTES.read_text() if NOTES.exists() else ""
        except OSError as error:
            self.send_error(500, str(error))
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(notes.encode())

    def log_message(self, *arguments):
        """Print no line for each question."""


HTTPServer(("", 8000), Service).serve_forever()
