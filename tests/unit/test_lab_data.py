"""What lab 13 says of volumes that are none, or at the wrong place."""

from types import SimpleNamespace

import pytest

from boxlab import paths
from boxlab.labs import Mismatch, checks

CHECKS = checks.load(paths.LABS / "13-data" / "checks.py")[1]


def volumes(*texts):
    return CHECKS.volumes.__wrapped__(SimpleNamespace(toml=lambda name: {"volumes": list(texts)}))


@pytest.mark.parametrize("option", ["ro", "nocopy,z"])
def test_a_volume_is_read_with_its_options(option):
    assert volumes("notes:/data", f"/cache:{option}") == [("notes", "/data", ""), ("", "/cache", option)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("notes:/data:U", "nocopy"),
        ("notes:/data:ro,U", "nocopy"),
        ("n:/data", "two letters"),
        ("/home/ada:/data", "two letters"),
        ("notes:data", "two letters"),
        (7, "two letters"),
    ],
)
def test_what_is_no_volume_is_told_by_what_is_wrong_with_it(text, told):
    with pytest.raises(Mismatch) as caught:
        volumes("other:/other", text)
    assert told in caught.value.next


@pytest.mark.parametrize("listed", [None, 7, "notes:/data"])
def test_what_is_no_list_is_told_as_that(listed):
    with pytest.raises(Mismatch) as caught:
        CHECKS.volumes.__wrapped__(SimpleNamespace(toml=lambda name: {"volumes": listed}))
    assert "two letters" in caught.value.next


@pytest.mark.parametrize(("place", "told"), [("/data/notes.txt", "not the file"), ("/data", "who owns")])
def test_who_mounts_a_volume_at_the_file_is_told_that(monkeypatch, place, told):
    monkeypatch.setattr(CHECKS, "lives", lambda work: CHECKS.Lives(["milk"], (500, "IsADirectoryError")))
    monkeypatch.setattr(CHECKS, "volumes", lambda work: [("notes", place, "")])
    with pytest.raises(Mismatch) as caught:
        CHECKS.remembers(None)
    assert told in caught.value.next
