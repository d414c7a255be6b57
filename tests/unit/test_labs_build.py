"""What a lab's build makes of a Dockerfile's text; no engine."""

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
