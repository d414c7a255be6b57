"""The removal of many things: what the engine does faster together goes together, and everything else in its order."""

import threading
import time
from types import SimpleNamespace

import pytest

from boxlab import builder, engine, leftover, sweep
from boxlab.errors import BoxlabError
from boxlab.labs import build
from boxlab.waiting import HANG_S


def test_images_go_together_and_everything_else_in_its_order():
    together, order, there = threading.Barrier(4), [], {}
    for number in range(4):
        there[f"image-{number}"] = leftover.Leftover("image", f"image-{number}", lambda: together.wait(HANG_S))
    for name in ("first", "second"):
        there[name] = leftover.Leftover("volume", name, lambda name=name: order.append(name))
    went = leftover.remove(lambda: [there.pop(name) for name in list(there)])
    assert [item.name for item in went] == ["image-0", "image-1", "image-2", "image-3", "first", "second"]
    assert order == ["first", "second"]


def test_a_container_that_a_reader_starts_from_the_image_of_a_lab_is_not_ours(monkeypatch, tmp_path):
    """It has the image's labels; a container of ours says its run."""
    built = []
    monkeypatch.setattr(builder, "build", lambda *_, labels, **__: built.append(labels))
    build._built(tmp_path, "tag", 1, None, None)
    [inherited] = built
    there = [
        SimpleNamespace(name="mine", labels=inherited),
        SimpleNamespace(name="ours", labels=inherited | engine.labels()),
    ]
    listed = SimpleNamespace(list=lambda **_: [])
    client = SimpleNamespace(containers=SimpleNamespace(list=lambda **_: there), networks=listed, volumes=listed)
    monkeypatch.setattr(engine, "connect", lambda: client)
    assert [item.name for item in sweep._running()] == ["ours"]


def test_the_name_under_which_a_killed_run_pushed_an_image_is_ours_and_one_that_a_reader_gave_is_not(monkeypatch):
    rows = [
        {"RepoTags": ["localhost:49153/code-last:latest"], "Labels": engine.labels()},
        {"RepoTags": ["localhost:5050/mine:latest"], "Labels": engine.labels(sweep.KEPT)},
        {"RepoTags": ["mine:latest"], "Labels": engine.labels()},
    ]
    removed = []
    client = SimpleNamespace(images=SimpleNamespace(remove=removed.append))
    monkeypatch.setattr(engine, "connect", lambda: client)
    monkeypatch.setattr(engine, "listed", lambda filters, **_: rows if "label" in filters else [])
    monkeypatch.setattr(builder, "unnamed", set)
    for item in sweep._built():
        item.remove()
    assert removed == ["localhost:49153/code-last:latest"]


@pytest.mark.parametrize("allowed", [0, 1])
def test_where_no_further_thread_is_allowed_each_goes_by_itself(monkeypatch, allowed):
    gone, there, start, started = [], ["a", "b", "c"], threading.Thread.start, []

    def refused(thread):
        if len(started) == allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    def find():
        return [
            leftover.Leftover("image", name, lambda name=name: gone.append(name)) for name in there if name not in gone
        ]

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert [item.name for item in leftover.remove(find)] == there
    assert set(gone) == set(there)


def test_an_image_that_does_not_go_keeps_no_other_from_going():
    def stuck():
        raise BoxlabError("image b stays")

    gone, there = [], ["a", "b", "c"]

    def find():
        remove = {name: (lambda name=name: gone.append(name)) for name in there} | {"b": stuck}
        return [leftover.Leftover("image", name, remove[name]) for name in there if name not in gone]

    with pytest.raises(BoxlabError, match="image b stays"):
        leftover.remove(find)
    assert sorted(gone) == ["a", "c"]


def test_images_that_stand_on_each_other_go_one_after_another():
    busy, most, there = [], [], {}

    def go(name):
        busy.append(name)
        time.sleep(0.01)
        most.append(len(busy))
        busy.remove(name)

    for name in ("a:step-1", "a:step-0", "b:step-0", "a:latest"):
        there[name] = leftover.Leftover("image", name, lambda name=name: go(name), alone="step" in name)
    went = leftover.remove(lambda: [there.pop(name) for name in list(there)])
    assert [item.name for item in went] == ["a:latest", "a:step-1", "a:step-0", "b:step-0"]
    assert most == [1, 1, 1, 1]
