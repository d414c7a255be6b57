import os

import pytest

from boxlab import files, marks, paths


def test_a_file_is_written_whole_beside_its_place(tmp_path):
    path = tmp_path / "new" / "record.json"
    files.write(path, "one")
    files.write(path, "two")
    assert path.read_text() == "two" and list(path.parent.iterdir()) == [path]


def test_a_file_is_written_where_the_cache_lies_on_another_file_system(tmp_path, monkeypatch):
    other = "/dev/shm"
    if not os.path.isdir(other) or os.stat(other).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("no second file system here")
    monkeypatch.setattr(paths, "CACHE", paths.Path(other) / f"boxlab-{os.getpid()}")
    monkeypatch.setattr(paths, "SCRATCH", paths.CACHE / "scratch")
    files.write(tmp_path / "record.json", "whole")
    assert (tmp_path / "record.json").read_text() == "whole"
    assert not paths.CACHE.exists()


def test_a_draft_that_a_killed_process_left_is_found_and_is_this_owners(tmp_path, monkeypatch):
    for name in ("RESULTS", "CACHE", "NAMES"):
        monkeypatch.setattr(paths, name, tmp_path / name)
        (tmp_path / name).mkdir()
    left = paths.RESULTS / f".06-startup.json.{marks.name()}"
    left.write_text("half")
    (paths.RESULTS / ".06-startup.json.boxlab-another").write_text("half")
    assert files.drafts() == [left]


def test_nothing_goes_wrong_where_there_is_nothing(tmp_path):
    files.remove(tmp_path / "nothing")


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
    files.remove(paths.Path("top"))
    assert os.listdir() == []
