"""Options that a learner chose: what the Docker SDK or the engine refuses is the learner's slip, told with what it wants."""

import docker.errors
import pytest
import waiting

from boxlab import engine, images, marks, sweep
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
