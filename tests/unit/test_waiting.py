import itertools

import pytest

from boxlab import waiting
from boxlab.errors import BoxlabError


def test_what_comes_is_returned():
    answers = iter([None, 0, "here"])
    assert waiting.until(lambda: next(answers)) == "here"


def test_what_comes_as_its_maker_ends_has_come():
    answers = iter([False, True, True])
    assert waiting.until(lambda: next(answers), going=lambda: False)


def test_who_has_ended_is_not_waited_for():
    with pytest.raises(BoxlabError, match="has ended: an answer") as caught:
        waiting.until(lambda: False, "an answer", going=lambda: False)
    assert "docker logs" in caught.value.fix


def test_what_hangs_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(waiting.time, "monotonic", itertools.count(step=waiting.HANG_S).__next__)
    with pytest.raises(BoxlabError, match="in vain: an answer") as caught:
        waiting.until(lambda: False, "an answer")
    assert "docker logs" in caught.value.fix


def test_what_takes_long_is_asked_for_less_often(monkeypatch):
    now, asked = [0.0], []
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(waiting.time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    with pytest.raises(BoxlabError, match="in vain"):
        waiting.until(lambda: asked.append(now[0]))
    assert len([at for at in asked if at < 1]) > 10 and len(asked) < 2 * waiting.HANG_S
