"""Says what a word is worth; a thread for each question, and one for the server. The main thread waits for the signal."""

import json
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

asked = []
lock = threading.Lock()
stopping = threading.Event()


def save():
    """Append the words that were asked since the last time; the lock is held."""
    with open("/data/asked.txt", "a") as file:
        file.writelines(f"{word}\n" for word in asked)
    asked.clear()


class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            worth = json.loads(Path("model.json").read_text()).get(self.path[1:], 0)
        except ValueError as error:
            return self.answer(503, f"model: {error}")
        if self.path != "/healthz":
            with lock:
                asked.append(self.path[1:])
                if len(asked) >= 100:
                    save()
        self.answer(200, worth)

    def answer(self, status, text):
        content = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main():
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    server = ThreadingHTTPServer(("", 8000), Service)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    stopping.wait()
    server.shutdown()
    serving.join()
    server.server_close()  # waits for the questions in hand
    with lock:
        save()


main()
