"""Which mounts lab 11 looks into."""

import importlib.util
from types import SimpleNamespace

import pytest

from boxlab import paths
from boxlab.labs import Mismatch

_spec = importlib.util.spec_from_file_location("lab_11_secret", paths.LABS / "11-secret" / "checks.py")
lab_11 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab_11)

SEVERAL = """FROM base AS one
RUN --mount=type=secret,id=token \\
    --mount=type=cache,id=packages,target=pip,sharing=locked true
RUN --mount=target=/a,type=cache --mount=type=cache,dst=/b,uid=7 true
RUN --mount=type=cache,from=one,target=/c true
RUN --mount=target=/whole true
# RUN --mount=type=bind,source=token.txt,target=/remark true
RUN \\
    # --mount=target=/gap \\
    true
RUN --mount="type=CACHE,\\
  target=/quoted" true
"""


@pytest.mark.parametrize(
    ("has", "told"),
    [
        ("/a", "/a"),
        ("/b", "/b"),
        ("pip", "/pip"),
        ("", ""),
        ("/c", ""),
        ("/whole", "/whole"),
        ("/quoted", "/quoted"),
        ("/remark", ""),
        ("/gap", ""),
    ],
)
def test_the_token_is_looked_for_in_all_that_is_mounted(monkeypatch, tmp_path, has, told):
    def build(name, folder):
        text = (folder / "Dockerfile").read_text()
        if "sharing=locked" in text and has != "pip":
            raise Mismatch("it builds", "it does not", "", "")
        return bool(has) and f"={has}" in text

    monkeypatch.setattr(lab_11, "in_layers", lambda made, token: made)
    monkeypatch.setattr(lab_11, "began", lambda work: 0)
    found = lab_11.in_mounts(SimpleNamespace(text=lambda _: SEVERAL, copy=lambda: tmp_path, build=build), "token")
    assert found.endswith(f"at {told}") if told else not found


@pytest.mark.parametrize(("path", "next"), [("app/token.txt", "no line may copy"), ("root/.token", "write it nowhere")])
def test_who_has_copied_the_token_is_told_to_copy_by_name(monkeypatch, path, next):
    monkeypatch.setattr(lab_11, "image", lambda work: None)
    monkeypatch.setattr(lab_11, "sealed", lambda work: ("token", {}))
    monkeypatch.setattr(lab_11, "in_layers", lambda made, token: f"it is in layer 3 of 5, in {path}")
    with pytest.raises(Mismatch) as caught:
        lab_11.not_in_layers(None)
    assert next in caught.value.next
