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
