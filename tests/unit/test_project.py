"""Rules of the repository itself."""

import re

import command
import pytest

from boxlab import paths


@pytest.fixture(scope="module")
def files():
    listing = command.run("git", "ls-files", "-z", cwd=paths.ROOT)
    found = [paths.ROOT / name for name in listing.stdout.split("\0") if name]
    assert found
    return [path for path in found if path.is_file()]


def test_no_file_holds_the_address_of_a_package_registry(files):
    hosts = re.compile(
        r"https?://[^\s/]*("
        + "|".join(["py" + "pi", "python" + "hosted", "npm" + "js", "deb" + r"\.debian", "registry-1" + r"\.docker"])
        + ")"
    )
    for path in files:
        assert not hosts.search(path.read_text(errors="ignore")), path


def test_every_requirement_is_pinned():
    lines = (paths.ROOT / "requirements.txt").read_text().splitlines()
    assert lines
    assert all(re.match(r"[\w.-]+==\S+( ;.*)?$", line) for line in lines)


def test_scripts_are_sound(files):
    scripts = [path for path in files if path.suffix == ".sh" or path.match(".ci/run")]
    assert scripts
    for script in scripts:
        assert command.run("bash", "-n", script).stderr == ""


def test_every_text_has_the_line_ends_of_linux_wherever_it_is_cloned():
    listing = command.run("git", "ls-files", "--eol", "-z", cwd=paths.ROOT).stdout
    lines = [line.split("\t") for line in listing.split("\0") if line]
    assert lines
    for ends, name in lines:
        assert "attr/text=auto eol=lf" in ends and "crlf" not in ends and "mixed" not in ends, name
