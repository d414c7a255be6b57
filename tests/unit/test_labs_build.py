"""What a lab's build makes of a Dockerfile's text; no engine."""

from types import SimpleNamespace

import pytest

from boxlab.labs import build

SEVERAL = """ARG ORIGIN=base
FROM --platform=linux/amd64 $ORIGIN
RUN <<END python3
from pathlib import Path
END
# FROM nothing
from base as first
FROM first AS Second
FROM scratch
COPY --from=Second /a /b
"""


def test_each_stage_gets_a_name():
    text, names = build.stage_names(SEVERAL)
    assert names == ["boxlab-0", "first", "Second", "boxlab-3"]
    assert text.splitlines() == [
        line + {"FROM --platform=linux/amd64 $ORIGIN": " AS boxlab-0", "FROM scratch": " AS boxlab-3"}.get(line, "")
        for line in SEVERAL.splitlines()
    ]


@pytest.mark.parametrize("ends", ["\\", "\\  ", "`"])
def test_a_stage_may_begin_on_several_lines(ends):
    text, names = build.stage_names(
        f"FROM base {ends}\n    AS {ends}\n first\nFROM {ends}\n --platform=x {ends}\nbase\n"
    )
    assert names == ["first", "boxlab-1"] and text.endswith("base AS boxlab-1\n")


@pytest.mark.parametrize("text", ["", "RUN true\n", "# FROM base\n", "RUN echo FROM base\n"])
def test_no_stage_has_no_name(text):
    assert build.stage_names(text) == (text, [])


@pytest.mark.parametrize(
    "said",
    [
        'ERROR: failed to build: failed to solve: target stage "0" could not be found',
        'ERROR: failed to solve: target stage "9" could not be found',
        "failed to reach build target 9 in Dockerfile",
    ],
)
def test_a_builder_says_that_a_stage_is_not_there(said):
    assert build.NOT_A_STAGE.search(said)


def test_an_image_is_saved_only_where_its_history_does_not_show_enough(monkeypatch):
    history = [{"Size": size} for size in (0, 5, 0, 7, 100)]  # newest first; two lines made no layer
    api = SimpleNamespace(history=lambda tag: history)
    monkeypatch.setattr(build.engine, "connect", lambda: SimpleNamespace(api=api))
    saved = []
    monkeypatch.setattr(build.layers, "unpacked", lambda tag, without: saved.append(without) or {"b": 6, "c": 4})
    before, after = (build.Image("", "lab", tuple(have), on_base=False) for have in ("ax", "abc"))
    assert after.beyond(before, enough=12) == 12 and not saved
    assert after.beyond(before, enough=11) == 10 and saved == [{"a"}]
