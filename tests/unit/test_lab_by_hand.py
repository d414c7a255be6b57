"""What lab 05 concludes from what it saw, on either version of control groups."""

import importlib.util

import pytest

from boxlab import paths
from boxlab.labs import Mismatch

_spec = importlib.util.spec_from_file_location("lab_05", paths.LABS / "05-by-hand" / "checks.py")
lab_05 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab_05)


@pytest.fixture
def saw(monkeypatch):
    def pretend(have, killed):
        look = {"answer": {"pid": 1}, "trouble": "", "status": 7, "during": {"limits": {}}}
        hog = {"answer": {"have": have, "killed": killed}, "trouble": "", "status": 0, "output": ""}
        monkeypatch.setattr(lab_05, "tried", lambda _: lab_05.Tried("box", 7, 50, 12, look, hog))

    return pretend


@pytest.mark.parametrize(("have", "killed"), [(2, 2), (1, 3)])
def test_a_limit_of_memory_kills_who_gets_none(saw, have, killed):
    saw(have, killed)
    lab_05.limited_memory(None)


@pytest.mark.parametrize(("have", "killed"), [(4, 0), (0, 4), (1, 0), (2, 0), (0, 0)])
def test_who_is_only_slowed_down_is_not_limited(saw, have, killed):
    saw(have, killed)
    with pytest.raises(Mismatch, match=f"{have} got it, {killed} were killed"):
        lab_05.limited_memory(None)
