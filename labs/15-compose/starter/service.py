"""Keeps words in a database: GET /add/WORD keeps one, GET / lists them all. It ends if it can't reach the database when it starts."""

import http.server
import os
from pathlib import Path

import psycopg

SECRET = Path("/run/secrets/db-password")
PASSWORD = SECRET.read_text().strip() if SECRET.exists() else os.environ.get("PASSWORD", "")


def ask(*query):
    with psycopg.connect(host="db", user="postgres", password=PASSWORD, connect_timeout=5) as link:
        answer = link.execute(*query)
        return [word for (word,) in answer] if answer.description else []


class Service(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/add/"):
            ask("INSERT INTO words VALUES (%s)", [self.path.removeprefix("/add/")])
        answer = "\n".join(ask("SELECT word FROM words ORDER BY word")).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)


ask("CREATE TABLE IF NOT EXISTS words (word TEXT)")
http.server.ThreadingHTTPServer(("", 8000), Service).serve_forever()
