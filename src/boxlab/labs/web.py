"""Ask a service at port 8000 from within its own container, where no port needs to be published and no network to be there."""

import json

ASK = """
import http.client, json, sys, time

def answer(path, deadline):
    while True:
        try:
            link = http.client.HTTPConnection("127.0.0.1", 8000, timeout=max(0.1, deadline - time.monotonic()))
            link.request("GET", path)
            got = link.getresponse()
            return [got.status, got.read().decode(errors="replace").strip()]
        except ConnectionRefusedError as error:  # it is not there yet
            if time.monotonic() > deadline:
                return [0, str(error)]
            time.sleep(0.05)
        except (OSError, http.client.HTTPException) as error:
            return [0, repr(error)]

print(json.dumps([answer(path, time.monotonic() + float(sys.argv[1])) for path in sys.argv[2:]]))
"""
"""Waits for the service to listen, and prints status and text of each answer."""


def question(seconds: float, *paths: str) -> list[str]:
    """The command that asks for paths such as "/list", and waits so many seconds for each answer."""
    return ["python3", "-I", "-c", ASK, str(seconds), *paths]


def answers(printed: str) -> list[tuple[int, str]]:
    """Status and text of each answer to a question; status 0, and why, where there was none in time.

    Raises:
        ValueError: the command was ended before it had printed them.
    """
    return [(status, text) for status, text in json.loads(printed)]
