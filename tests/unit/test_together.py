"""Boxes for a demonstration, pretended: an arm that fails is left out and said, and the others go on."""

import pytest

from boxlab import runtimes
from boxlab.errors import BoxlabError, EngineError, NotReady, Unavailable


class Pretended:
    """A runtime and its box at once."""

    phases: dict = {}

    def __init__(self, fails=None, mute=False):
        self.fails, self.mute, self.runs = fails or {}, mute, False

    def prepare(self, workload):
        if error := self.fails.get("prepare"):
            raise error

    def start(self, workload):
        if error := self.fails.get("start"):
            raise error
        self.runs = True
        return self

    def stop(self):
        self.runs = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def ask(name, box):
    assert box.runs
    if box.mute:
        raise NotReady("it says nothing")
    return name.upper()


def test_what_does_not_start_is_left_out_and_said_and_the_rest_runs(capsys):
    wanted = {
        "a": Pretended(),
        "b": Pretended({"prepare": Unavailable("no kernel for it", "get one")}),
        "c": Pretended({"start": NotReady("'ready' did not come within 300 s", hung=True)}),
        "d": Pretended(),
    }
    with runtimes.started(wanted) as boxes:
        assert boxes.each(ask) == {"a": "A", "d": "D"}
    assert set(boxes.left_out) == {"b", "c"}
    said = capsys.readouterr().out
    assert "left out: b: no kernel for it\n  fix: get one" in said and "left out: c: 'ready' did not come" in said
    assert not any(runtime.runs for runtime in wanted.values())


def test_one_that_stops_answering_is_stopped_and_left_out(capsys):
    wanted = {"a": Pretended(), "b": Pretended(mute=True)}
    with runtimes.started(wanted) as boxes:
        assert boxes.each(ask) == {"a": "A"}
        assert not wanted["b"].runs and wanted["a"].runs
        assert boxes.each(ask) == {"a": "A"}
    assert boxes.left_out == {"b": "it says nothing"} and "left out: b" in capsys.readouterr().out


@pytest.mark.parametrize("error", [EngineError("gone"), KeyboardInterrupt()])
def test_what_is_no_fault_of_one_box_stops_them_all(error):
    first = Pretended()
    with pytest.raises(type(error)), runtimes.started({"a": first, "b": Pretended({"start": error})}):
        raise AssertionError("it must not get here")
    assert not first.runs


def test_a_runtime_that_there_is_not_is_an_error_before_anything_starts():
    with pytest.raises(BoxlabError, match="no runtime 'nonsense'"), runtimes.started(["process", "nonsense"]):
        pass
