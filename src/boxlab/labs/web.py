"""Ask a service at port 8000 from within its own container, where no port needs to be published and no network to be there."""

import json
from collections.abc import Callable

from boxlab.labs.checks import Mismatch, printed
from boxlab.labs.lasting import PYTHON, Lasting
from boxlab.labs.work import LIMITS
from boxlab.language import _

ADDRESS = "127.0.0.2"
"""Who listens at every address hears of it, as of what comes through a published port; who listens at 127.0.0.1 alone does not."""

ASK = """
import http.client, json, socket, sys, time

def listens_at_home():
    try:
        socket.create_connection(("127.0.0.1", 8000), 1).close()
    except OSError:
        return False
    return True

def answer(path, deadline):
    alone = False
    while True:
        try:
            link = http.client.HTTPConnection(sys.argv[1], 8000, timeout=max(0.1, deadline - time.monotonic()))
            link.request("GET", path)
            got = link.getresponse()
            return [got.status, got.read().decode(errors="replace").strip()]
        except ConnectionRefusedError as error:  # it is not there yet
            if alone or time.monotonic() > deadline:
                return [0, f"{error}{alone * '; it listens at 127.0.0.1 alone'}"]
            alone = listens_at_home()  # and it may have begun just now: once more
            time.sleep(0.05)
        except (OSError, http.client.HTTPException) as error:
            return [0, repr(error)]

print(json.dumps([answer(path, time.monotonic() + float(sys.argv[2])) for path in sys.argv[3:]]))
"""
"""Waits for the service to listen, and prints status and text of each answer."""


def question(seconds: float, *paths: str) -> list[str]:
    """The command that asks for paths such as "/list", and waits so many seconds for each answer."""
    return [PYTHON, "-I", "-c", ASK, ADDRESS, str(seconds), *paths]


def answers(said: str) -> list[tuple[int, str]]:
    """Status and text of each answer to a question; status 0, and why, where there was none in time.

    Raises:
        json.JSONDecodeError: the command could not be started, or was ended before it had printed them.
    """
    return [(status, text) for status, text in json.loads(said)]


def asked(
    box: Lasting, seconds: float, *paths: str, user: str = "", control: Callable[[], None] = lambda: None
) -> list[tuple[int, str]]:
    """The same, of the service in a container.

    Args:
        control: sees that another service can be asked here, where this one cannot.

    Raises:
        Mismatch: it has ended, or cannot be asked.
    """
    said = box.beside(question(seconds, *paths), user)
    try:
        return answers(said)
    except json.JSONDecodeError as error:
        control()
        raise unasked(error) from error


def unanswered(seconds: float, why: str, said: str = "") -> Mismatch:
    """What to tell of a service that has not answered in time, though the control has; `said` is what its container has printed."""
    if "Disconnected" in why or "Reset" in why:
        return Mismatch(
            _("an answer on port {port} of the container", port=8000),
            _("it closed the connection, and printed:\n{output}", output=printed(said)),
            _("what the program raises while it answers ends the connection"),
            _("mend what it printed last"),
        )
    return Mismatch(
        _("an answer within {seconds:g} s on port {port} of the container", seconds=seconds, port=8000),
        why,
        _("a service that nobody can reach is no service"),
        _(
            "keep the port, and listen at every address ({every}), as what comes through a published port is not for "
            "localhost; `docker logs` shows what the program has printed",
            every='""',
        ),
    )


def unasked(error: json.JSONDecodeError) -> Mismatch:
    """What to tell of a container in which the question cannot be asked, though the control's could."""
    return Mismatch(
        _("the container has the Python of {image}, and room for one more process", image="containers-measured/base"),
        printed(error.doc),
        _(
            "the check asks the service from within its container, which may have {number} processes and threads",
            number=LIMITS["pids_limit"],
        ),
        _(
            "let the last stage stand on {image}, and the service start no thread or process that stays for each question",
            image="containers-measured/base",
        ),
    )
