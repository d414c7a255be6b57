"""What lab 14 reads: which digest each name was given, and whether all else stayed."""

import base64
import importlib.util
import json

import pytest

from boxlab import paths
from boxlab.labs import Mismatch

_spec = importlib.util.spec_from_file_location("lab_14", paths.LABS / "14-registry" / "checks.py")
lab_14 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab_14)

NAME, PLACE, DIGEST = "localhost:5000/team/api:1.0", ("team/api", "1.0"), "sha256:" + "a1" * 32
TEXT = lab_14.compose(NAME, "postgres")


@pytest.mark.parametrize("written", [f"{NAME}@{DIGEST}", f"localhost:5000/team/api@{DIGEST}"])
def test_a_digest_is_read_with_its_tag_or_without(written):
    assert lab_14.references(TEXT, TEXT.replace(NAME, written), {NAME: PLACE}) == {NAME: DIGEST}


@pytest.mark.parametrize(
    "output",
    [
        TEXT,
        "",
        TEXT.replace(NAME, f"{NAME}@sha256:short"),
        TEXT.replace(NAME, f"localhost:5000/team/apis@{DIGEST}"),
        TEXT.replace(NAME, f"{NAME}@{DIGEST}").replace("always", "never"),
        "pinned one image\n" + TEXT.replace(NAME, f"{NAME}@{DIGEST}"),
    ],
)
def test_a_name_without_a_digest_or_another_change_is_told(output):
    with pytest.raises(Mismatch):
        lab_14.references(TEXT, output, {NAME: PLACE})


def test_the_settings_are_those_of_the_docker_command():
    beside = lab_14.Registry(None, "a password")
    [login] = json.loads(beside.settings())["auths"].values()
    assert base64.b64decode(login["auth"]) == b"ada:a password"
    assert "a password" not in beside.settings("another")
