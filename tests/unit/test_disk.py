"""Files that a full disk, a lack of rights or a learner's program could get lost or left."""

import errno
import os
import subprocess
import sys

import pytest

from boxlab import disk, errors


def test_what_is_written_is_there_and_nothing_beside_it(tmp_path):
    disk.write(tmp_path / "new" / "file", "ü\n")
    assert (tmp_path / "new" / "file").read_bytes() == "ü\n".encode()
    assert os.listdir(tmp_path / "new") == ["file"]


def test_what_cannot_be_written_leaves_the_old_and_names_the_path(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("old")

    def full(self, text, encoding):
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "write_text", full)
    with pytest.raises(OSError) as caught:
        disk.write(tmp_path / "file", "new")
    assert caught.value.filename == str(tmp_path / "file")
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "old"


def test_text_that_is_none_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    disk.write(path, "whole")
    with pytest.raises(UnicodeEncodeError):
        disk.write(path, "not \ud800 whole")
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["whole"]


def test_a_copy_has_all_and_names_the_first_error(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("c")
    disk.copy(tmp_path / "a", tmp_path / "copy")
    assert (tmp_path / "copy" / "b" / "c").read_text() == "c"
    with pytest.raises(FileExistsError):
        disk.copy(tmp_path / "a", tmp_path / "copy")


def test_a_copy_has_links_as_links_also_those_to_nothing_and_leaves_out_what_it_is_told_to(tmp_path):
    (tmp_path / "a" / "b" / "__pycache__").mkdir(parents=True)
    for name, target in (("folder", "b"), ("nowhere", "gone")):
        (tmp_path / "a" / name).symlink_to(target)
    disk.copy(tmp_path / "a", tmp_path / "copy", without="__pycache__")
    assert {name: os.readlink(tmp_path / "copy" / name) for name in ("folder", "nowhere")} == {
        "folder": "b",
        "nowhere": "gone",
    }
    assert os.listdir(tmp_path / "copy" / "b") == []


SPOIL = {
    "permissions taken from a folder": "os.makedirs('a/b/c'); os.chmod('a/b', 0); os.chmod('a', 0)",
    "a folder that may only be read": "os.mkdir('a'); open('a/x', 'w').close(); os.chmod('a', 0o555)",
    "permissions taken from all of it": "os.mkdir('a'); os.chmod('.', 0)",
    "a file that may not be read": "open('a', 'w').close(); os.chmod('a', 0)",
    "a deep folder": "[(os.mkdir('deep' * 10), os.chdir('deep' * 10)) for _ in range(1500)]",
    "links, a pipe and a socket": """
os.symlink('/etc', 'folder'); os.symlink('nowhere', 'broken'); os.symlink('.', 'round'); os.mkfifo('pipe')
socket.socket(socket.AF_UNIX).bind('socket')""",
}


@pytest.mark.parametrize("spoil", SPOIL.values(), ids=SPOIL)
def test_a_folder_goes_whatever_a_program_did_in_it(spoil, tmp_path, bound):
    (tmp_path / "x").mkdir()
    subprocess.run([sys.executable, "-c", f"import os, socket; {spoil}"], cwd=tmp_path / "x", check=True)
    remove = "import sys; from pathlib import Path; from boxlab import disk; disk.remove(Path(sys.argv[1]))"
    subprocess.run([*bound, sys.executable, "-c", remove, str(tmp_path / "x")], check=True)
    assert os.listdir(tmp_path) == []


def test_what_is_not_there_need_not_go(tmp_path):
    disk.remove(tmp_path / "nothing")


@pytest.mark.parametrize("number", [n for name, n in vars(errno).items() if name.startswith("E")])
def test_every_error_of_the_system_has_a_path_words_and_a_fix(number):
    said = errors.of_system(OSError(number, os.strerror(number), "/some/path"))
    assert said.args[0] == f"/some/path: {os.strerror(number)}" and said.fix


@pytest.mark.parametrize("error", [OSError(), OSError("odd"), TimeoutError(), OSError(errno.ENOSPC, "x", 7)])
def test_an_odd_error_of_the_system_has_words_as_well(error):
    assert "None" not in str(errors.of_system(error)) and errors.of_system(error).args[0]


@pytest.mark.linux
def test_what_is_mounted_in_a_folder_stays(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    inside = tmp_path / "scratch" / "a root" / "dev"
    inside.mkdir(parents=True)
    script = 'mount --bind "$1" "$2" && exec "$3" -c "import sys; from boxlab import disk; disk.remove(disk.Path(sys.argv[1]))" "$4"'
    mine = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *mine, "--mount", "sh", "-c", script, "sh"]
    subprocess.run([*command, tmp_path / "kept", inside, sys.executable, tmp_path / "scratch"], check=True)
    assert (tmp_path / "kept" / "file").exists() and not (tmp_path / "scratch").exists()
