"""Options that a learner chose: what the Docker SDK or the engine refuses is the learner's slip, told with what it wants."""

import contextlib
import re
import signal

import docker.errors
import pytest

from boxlab import engine, images, marks, sweep, waiting
from boxlab.errors import EngineError
from boxlab.labs import Mismatch, lasting

FORMS = {
    name: f"what {name} wants"
    for name in ("mem_limit", "memswap_limit", "mem_reservation", "pids_limit", "restart_policy", "init")
}

REFUSED = [
    {"mem_limit": "9" * 400 + "m"},
    {"mem_limit": "infm"},
    {"mem_limit": "64MiB"},
    {"mem_limit": "a lot"},
    {"mem_limit": "\ud800m"},
    {"mem_limit": 64},
    {"mem_limit": -5},
    {"mem_limit": 1e9},
    {"mem_limit": float("nan")},
    {"mem_limit": True},
    {"mem_limit": 2**63},
    {"mem_limit": ["64m"]},
    {"mem_limit": {"memory": "64m"}},
    {"mem_limit": "64m", "memswap_limit": "8m"},
    {"memswap_limit": "64m"},
    {"mem_limit": "64m", "mem_reservation": "65m"},
    {"mem_reservation": 1},
    {"pids_limit": "20"},
    {"pids_limit": 20.0},
    {"pids_limit": True},
    {"pids_limit": 2**70},
    {"init": "yes"},
    {"init": 1},
    {"restart_policy": "no"},
    {"restart_policy": ["no"]},
    {"restart_policy": {"Name": False}},
    {"restart_policy": {"Name": ["no"]}},
    {"restart_policy": {"Name": "never"}},
    {"restart_policy": {"Name": "\ud800"}},
    {"restart_policy": {"Name": "on-failure", "MaximumRetryCount": "3"}},
    {"restart_policy": {"Name": "on-failure", "MaximumRetryCount": 2.5}},
    {"restart_policy": {"Name": "on-failure", "MaximumRetryCount": -1}},
    {"restart_policy": {"Name": "no", "MaximumRetryCount": 3}},
]


@pytest.fixture(autouse=True)
def nothing_stays():
    images.ensure("base")
    yield
    waiting.until(lambda: "container" not in {item.kind for item in sweep.of_run(marks.RUN)})


@pytest.mark.parametrize("asked", REFUSED, ids=lambda asked: str(asked)[:60].encode("ascii", "replace").decode())
def test_what_is_refused_is_the_learners_and_is_told_what_it_wants(asked):
    with pytest.raises(Mismatch) as caught:
        lasting.accepted(asked, FORMS)
    said = caught.value
    assert all(FORMS[name] in f"{said.expected} {said.next}" for name in list(asked)[-1:]) and said.actual


@pytest.mark.parametrize(
    ("asked", "settings"),
    [
        ({}, {}),
        ({"mem_limit": "64m"}, {"Memory": 64 << 20}),
        ({"mem_limit": "6.5M", "memswap_limit": -1}, {"Memory": 13 << 19, "MemorySwap": -1}),
        ({"pids_limit": -1, "init": True}, {"PidsLimit": -1, "Init": True}),
        (
            {"restart_policy": {"Name": "no", "MaximumRetryCount": 0}},
            {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}},
        ),
    ],
)
def test_what_is_accepted_is_told_as_the_engine_has_it(asked, settings):
    assert lasting.accepted(asked, FORMS) == settings


def test_an_engine_that_creates_nothing_is_no_slip(monkeypatch):
    def refuse(*arguments, **options):
        raise docker.errors.APIError("no", explanation="no space left on device")

    monkeypatch.setattr(engine.connect().api, "create_container", refuse)
    with pytest.raises(EngineError):
        lasting.accepted({"mem_limit": "64m"}, FORMS)


def test_bounds_hold_whatever_is_said():
    most = {"memory_mib": 100, "processes": 50}
    bound = {"Memory": 100 << 20, "MemorySwap": 100 << 20, "MemoryReservation": 0, "PidsLimit": 50}
    for nothing in ({}, {"Memory": 0}, {"Memory": 101 << 20, "MemorySwap": -1, "PidsLimit": -1}, {"PidsLimit": 51}):
        assert lasting.within(nothing, **most) == bound
    within = lasting.within({"Memory": 40 << 20, "PidsLimit": 3}, **most)
    assert within == {"Memory": 40 << 20, "MemorySwap": 80 << 20, "MemoryReservation": 0, "PidsLimit": 3}
    assert lasting.within({"MemoryReservation": 1 << 40}, **most)["MemoryReservation"] == 100 << 20


POLITE = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); print(1, flush=True); time.sleep(600)"
CHECKED = {"Test": ["CMD", "grep", "-q", "well", "/srv/state"], "Interval": 10**8, "Retries": 1, "StartPeriod": 10**6}


@contextlib.contextmanager
def living(*command: str, health=None, session=None):
    """A container of the base image in which such a command runs."""
    made = lasting.Lasting(f"{images.PREFIX}base", list(command), {"network_mode": "none"}, {}, health, session)
    try:
        made.start()
        yield made
    finally:
        made.remove()


def test_what_handles_the_signal_ends_by_itself():
    with living("python3", "-c", POLITE) as box:
        waiting.until(box.printed)
        sent = box.stop(waiting.HANG_S)
        assert sent == [signal.SIGTERM]
        assert box.status(10) == 3


def test_what_does_not_is_killed():
    with living("sleep", "600") as box:
        sent = box.stop(0)
        assert sent == [signal.SIGTERM, signal.SIGKILL]
        assert box.status(10) == 128 + signal.SIGKILL


def test_files_are_written_and_read_also_when_it_has_ended():
    with living("sleep", "600") as box:
        box.write("/srv/word", "wörd\n")
        assert box.execute(["cat", "/srv/word"]).strip() == "wörd"
        box.stop(0)
        assert box.read("/srv/word") == "wörd\n"
        assert box.read("/srv/other") is None and box.read("/srv") is None
        with pytest.raises(Mismatch, match="has none"):
            box.write("/nowhere/word", "")


def test_of_a_long_file_the_beginning_is_read():
    with living("sleep", "600") as box:
        box.execute(["sh", "-c", f"yes a | head -c {(lasting.READ_MIB + 8) << 20} > /srv/long"])
        found = box.read("/srv/long")
        assert found.startswith("a\na\n") and 1 << 20 < len(found) < (lasting.READ_MIB + 8) << 20


def test_a_session_counts_before_what_the_image_says():
    program = "import os; print(os.getuid(), os.getcwd(), os.environ['TAX'])"
    session = {"user": "12345", "working_dir": "/srv", "environment": {"TAX": "21"}}
    with living("python3", "-c", program, session=session) as box:
        assert box.status(waiting.HANG_S) == 0
        assert box.printed().split() == ["12345", "/srv", "21"]


def test_a_volume_keeps_what_a_container_wrote_and_is_gone_in_the_end():
    with lasting.volume("lab-try") as volume:
        mounted = {"Binds": [f"{volume}:/srv/kept"]}
        for seen in ("", "word"):
            box = lasting.Lasting(f"{images.PREFIX}base", ["sleep", "600"], {"network_mode": "none"}, mounted)
            try:
                box.start()
                assert box.execute(["sh", "-c", "cat /srv/kept/word; touch /srv/lost"]).strip().endswith(seen)
                box.execute(["sh", "-c", "printf word > /srv/kept/word"])
                assert "/srv/lost" in box.changed() and "/srv/kept/word" not in box.changed()
            finally:
                box.remove()
    assert volume not in {item.name for item in sweep.of_run(marks.RUN)}


def test_health_is_what_was_checked_since():
    with living("sleep", "600", health=CHECKED) as box:
        for state, health in [("well", "healthy"), ("ill", "unhealthy"), ("well", "healthy")]:
            box.write("/srv/state", state)
            assert box.health(60)[0] == health
        box.stop(0)
        assert box.health(60)[0] == "exited"
    with living("sleep", "600") as box:
        assert box.health(60) == ("", "")


def states(box, name: str) -> list[str]:
    """The states of the processes of that name, as the kernel shortens them: S sleeps, T is stopped."""
    return re.findall(rf"\({name}\) (\w)", box.execute(["sh", "-c", "cat /proc/[0-9]*/stat"]))


def test_what_is_frozen_goes_on_no_more_and_what_the_engine_runs_in_it_does():
    with living("sh", "-c", "sleep 600 & sleep 600 & wait", health=CHECKED) as box:
        box.write("/srv/state", "well")
        waiting.until(lambda: states(box, "sleep") == ["S"] * 2)
        box.freeze()
        assert states(box, "sleep") == ["T"] * 2 and states(box, "sh")[0] == "T"
        assert box.health(60)[0] == "healthy"


def test_an_image_without_a_command_is_the_learners(monkeypatch):
    def refuse(*arguments, **options):
        monkeypatch.undo()
        raise docker.errors.APIError("no", explanation="No command specified")

    monkeypatch.setattr(engine.connect().api, "create_container", refuse)
    with pytest.raises(Mismatch):
        lasting.Lasting(f"{images.PREFIX}base", None, {}, {})
