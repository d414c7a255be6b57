"""What lab 11 concludes of layers: whether an edit is dear, or the engine has forgotten what it had built."""

import importlib.util
import json
from random import Random
from types import SimpleNamespace

import pytest

from boxlab import paths
from boxlab.labs import BoxlabError, Mismatch

_spec = importlib.util.spec_from_file_location("lab_11_order", paths.LABS / "11-order" / "checks.py")
lab_11 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab_11)


def made(*layers, size=0):
    return SimpleNamespace(
        layers=layers, beyond=lambda other, enough: size, common=lambda other: len({*layers} & {*other.layers})
    )


@pytest.fixture
def edited(monkeypatch, tmp_path):
    """Let the edited files, and those as they were, be built as is said; no engine."""

    def check(first, *builds):
        (tmp_path / "rate.py").write_text("for line in sys.stdin:\n")
        left = iter(builds)
        work = SimpleNamespace(
            folder=tmp_path, copy=lambda: tmp_path, random=Random(1), build=lambda name, folder=None: next(left)
        )
        monkeypatch.setattr(lab_11, "image", lambda work: first)
        monkeypatch.setattr(lab_11, "asked", lambda *_: None)
        monkeypatch.setattr(lab_11, "factor", lambda *_: 1)
        lab_11.cheap_edit(work)

    return check


def test_an_edit_that_is_cheap_needs_no_third_build(edited):
    edited(made("base", "packages", "program"), made("base", "packages", "edited", size=1))


def test_an_edit_is_dear_where_what_was_built_before_is_still_there(edited):
    with pytest.raises(Mismatch, match="lowest 1 of 2"):
        edited(made("base", "all"), made("base", "edited", size=lab_11.EDITED + 1), made("base", "all"))


def test_an_engine_that_has_forgotten_what_it_had_built_is_told(edited):
    with pytest.raises(BoxlabError, match="does not keep"):
        edited(made("base", "all"), made("base", "edited", size=lab_11.EDITED + 1), made("base", "anew"))


def test_a_release_that_the_image_cannot_take_is_told_as_that(tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "data").mkdir()

    def build(name, folder):
        assert json.loads((folder / "data" / "words.json").read_text())
        raise Mismatch("it builds", "no matching distribution", "no image", "mend the line")

    with pytest.raises(Mismatch) as caught:
        lab_11.nothing_stale(SimpleNamespace(copy=lambda: tmp_path, random=Random(1), build=build))
    assert (
        caught.value.actual == "no matching distribution" and "or .dockerignore names goes stale" in caught.value.next
    )
