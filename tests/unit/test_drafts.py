import os

import pytest

from boxlab import disk, marks, paths


def test_a_file_is_written_whole_beside_its_place(tmp_path):
    path = tmp_path / "new" / "record.json"
    disk.write(path, "one")
    disk.write(path, "two")
    assert path.read_text() == "two" and list(path.parent.iterdir()) == [path]


def test_a_draft_that_a_killed_process_left_is_found_and_is_this_owners(tmp_path, monkeypatch):
    for name in ("RESULTS", "CACHE", "NAMES"):
        monkeypatch.setattr(paths, name, tmp_path / name)
        (tmp_path / name).mkdir()
    docker = paths.CACHE / "docker" / "0123abcd"
    docker.mkdir(parents=True)
    left = [docker / f".config.json.{marks.name()}", paths.RESULTS / f".06-startup.json.{marks.name()}"]
    for path in (*left, paths.RESULTS / ".06-startup.json.boxlab-another"):
        path.write_text("half")
    assert disk.drafts() == left


def test_nothing_goes_wrong_where_there_is_nothing(tmp_path):
    disk.remove(tmp_path / "nothing")


@pytest.fixture
def not_root(tmp_path, monkeypatch):
    """Be somebody for whom permissions hold, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    if os.geteuid():
        yield
        return
    os.chown(tmp_path, 65534, 65534)
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_a_folder_whose_permissions_were_taken_away_is_removed(not_root):
    inner = paths.Path("top/a/b")
    inner.mkdir(parents=True)
    (inner / "file").write_text("")
    (inner.parent / "link").symlink_to("/etc")
    inner.chmod(0)
    inner.parent.chmod(0o500)
    with pytest.raises(PermissionError):
        list(inner.iterdir())
    disk.remove(paths.Path("top"))
    assert os.listdir() == []
