"""What a lab's build makes of a Dockerfile's text; no engine."""

import contextlib
import io
import tarfile
from types import SimpleNamespace

import pytest

from boxlab.errors import EngineError
from boxlab.labs import build
from boxlab.waiting import HANG_S

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


def test_a_stage_may_begin_on_several_lines_with_comments_between():
    text = "FROM base \\\n    # opens the model\n\n    AS opened\nRUN true\nFROM \\\n# and no name\nopened\n"
    assert build.stage_names(text)[1] == ["opened", "boxlab-1"]


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


FLAGGED = """FROM base
RUN --mount=type=secret,id=token,env=MODEL_TOKEN true
onbuild copy --link a /
COPY --mount=type=secret,id=token b /
RUN --chmod=755 true
HEALTHCHECK --start-interval=1s CMD true
"""


@pytest.mark.parametrize(
    ("said", "lacking"),
    [
        ("ERROR: failed to solve: dockerfile parse error on line 2: unexpected key 'env' in 'env=MODEL_TOKEN'", True),
        ("failed to create LLB definition: invalid field 'required' must be a key=value pair", True),
        ("the --chmod option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/", True),
        ("Dockerfile parse error line 2: Unknown flag: mount", True),
        ("dockerfile parse error on line 3: unknown flag: --link (did you mean from?)", True),
        ("dockerfile parse error on line 6: unknown flag: start-interval", True),
        ("dockerfile parse error on line 4: unknown flag: mount", False),
        ("dockerfile parse error on line 5: unknown flag: --chmod", False),
        ("dockerfile parse error on line 2: unknown flag: mounted", False),
        ("dockerfile parse error on line 99: unknown flag: mount", False),
        ("Error: unknown flag: chmod", True),  # where nobody says which line
        ("unexpected key 'required' for mount type 'bind'", False),
        ("The command '/bin/sh -c false' returned a non-zero code: 1", False),
    ],
)
def test_a_builder_lacks_what_a_newer_one_builds_and_no_slip(said, lacking):
    assert build.too_new(said, FLAGGED) is lacking


def test_what_fails_is_built_by_hand_as_the_check_has_built_it():
    assert build.by_hand({"TOKEN": "t"}, {"token": "t"}) == (
        "docker build --network=none --build-arg TOKEN=… --secret id=token,src=… ."
    )
    assert build.by_hand(None, None) == "docker build --network=none ."


def test_an_image_is_saved_only_where_its_history_does_not_show_enough(monkeypatch):
    history = [{"Size": size} for size in (0, 5, 0, 7, 100)]  # newest first; two lines made no layer
    api = SimpleNamespace(history=lambda tag: history)
    monkeypatch.setattr(build.engine, "connect", lambda: SimpleNamespace(api=api))
    saved = []
    monkeypatch.setattr(build.layers, "unpacked", lambda tag, without: saved.append(without) or {"b": 6, "c": 4})
    before, after = (build.Image("", "lab", tuple(have), on_base=False) for have in ("ax", "abc"))
    assert after.beyond(before, enough=12) == 12 and not saved
    assert after.beyond(before, enough=11) == 10 and saved == [{"a", "x"}]


def test_a_layer_that_the_other_has_is_not_sent_though_one_below_it_is_new(monkeypatch):
    """As `COPY --link` makes it."""
    api = SimpleNamespace(history=lambda tag: [{"Size": 7}, {"Size": 5}, {"Size": 100}])
    monkeypatch.setattr(build.engine, "connect", lambda: SimpleNamespace(api=api))
    sizes = {"a": 100, "new": 4, "linked": 6}
    monkeypatch.setattr(
        build.layers,
        "unpacked",
        lambda tag, without: {name: size for name, size in sizes.items() if name not in without},
    )
    before, after = (
        build.Image("", "lab", have, on_base=False) for have in (("a", "old", "linked"), ("a", "new", "linked"))
    )
    assert after.beyond(before, enough=5) == 4


@pytest.fixture
def sparse(monkeypatch):
    """An image with one large file in the layer above the base, of which only the head is there."""
    large = tarfile.TarInfo("x")
    large.size = build.MOST_MIB + 1 << 20
    packed = io.BytesIO(large.tobuf())
    monkeypatch.setattr(build.images, "base_of", lambda have: None)
    monkeypatch.setattr(build.layers, "saved", lambda tag: contextlib.nullcontext())
    monkeypatch.setattr(build.layers, "layer_files", lambda archive, have: [("a", packed)])

    def sparse(history):
        api = SimpleNamespace(history=lambda tag: [{"Size": history}])
        monkeypatch.setattr(build.engine, "connect", lambda: SimpleNamespace(api=api))
        return build.Image("", "lab", ("a",), on_base=False)

    return sparse


@pytest.mark.parametrize(("history", "named"), [(0, "x has"), (build.MOST_MIB + 1 << 20, "the image")])
def test_what_is_too_large_is_not_read(sparse, history, named):
    """An image store may count no room for what is sparse."""
    with pytest.raises(build.Mismatch) as caught, sparse(history).files() as files:
        next(files)
    assert caught.value.expected.startswith(named) and caught.value.actual == f"{build.MOST_MIB + 1} MiB"


def test_of_a_stage_that_does_not_build_what_stands_above_is_looked_into(monkeypatch, tmp_path):
    (tmp_path / "Dockerfile").write_text("\ufeffFROM base AS one\nFROM base AS test\nCOPY . .\nRUN false\nFROM one\n")
    mistake = build.Unbuilt("it builds", "it does not", "", "")
    mistake.line = 4

    def built(context, name, seconds, arguments, secrets, target, known, cached):
        if "RUN false" in (text := (context / "Dockerfile").read_text()) and target == "test":
            raise mistake
        return target, text.count("\n")

    monkeypatch.setattr(build, "build", built)
    assert [*build.stages(tmp_path, "lab", 1)] == [("one", 5), ("test", 3)]


def test_lines_in_a_here_document_begin_no_stage_and_no_warning_is_an_error():
    text = "# check=error=true\nfrom base\nRUN cat <<EOF > words\nFROM words\nEOF\nfrom base\n"
    changed, names = build.stage_names(text)
    assert names == ["boxlab-0", "boxlab-1"]
    assert changed == text.replace("from base\n", "from base AS {}\n").format(*names).replace("# check=error=true", "#")


BUILT_NOT = """\
#6 [2/3] RUN pip install -r requirement.txt
#6 0.3 ERROR: Could not open requirements file: {said}
------
 > [2/3] RUN pip install -r requirement.txt:
0.3 ERROR: Could not open requirements file: {said}
------
Dockerfile:3
--------------------
   2 |     # --mount=type=secret requires BuildKit, and no space left on the laptop
   3 | >>> RUN pip install -r requirement.txt
--------------------
ERROR: failed to build: failed to solve: process "/bin/sh -c pip" did not complete successfully: exit code: 1
"""


def test_a_comment_of_the_learners_is_no_word_of_the_builder(monkeypatch):
    monkeypatch.setattr(build.engine, "ping", lambda: None)
    monkeypatch.setattr(build, "_require_build", lambda: None)
    build._require_builder(BUILT_NOT.format(said="[Errno 2]"), "")
    full = BUILT_NOT.format(said="[Errno 28] No space left on device")
    with pytest.raises(EngineError, match="full"):
        build._require_builder(full, "FROM base")
    build._require_builder(full, "FROM base\nRUN --mount=type=tmpfs,target=/out,size=4096 true")


def test_what_the_step_has_printed_is_told_and_where_it_stands():
    built = build.builder.Build(BUILT_NOT.format(said="[Errno 2]"), "failed", 1.0)
    wrong = build._mistake(built, 60, "docker build .")
    assert "Could not open requirements file" in wrong.actual and "exit code: 1" in wrong.actual and wrong.line == 3
    assert "|" not in wrong.actual


@pytest.fixture
def built(monkeypatch, tmp_path):
    """The Dockerfile that is built in place of one; no engine."""
    texts = []

    def built(context, *_arguments, **_options):
        texts.append((context / "Dockerfile").read_text())
        return build.builder.Build("", "", 1.0)

    monkeypatch.setattr(build, "_built", built)
    monkeypatch.setattr(build, "_inspect", lambda tag: {"Id": "sha256:1", "RootFS": {"Layers": ["a", "b"]}})
    monkeypatch.setattr(build.builder, "chosen", lambda: build.builder.Way.BUILDX)
    monkeypatch.setattr(build.images, "base_of", lambda layers: None)

    def text(dockerfile, **options):
        (tmp_path / "Dockerfile").write_text(dockerfile)
        build.build(tmp_path, "toy", HANG_S, **options)
        return texts[-1]

    return text


def test_what_has_to_stand_on_the_base_and_does_not_is_told(built, monkeypatch):
    assert built("FROM scratch\n") == "FROM scratch\n"
    with pytest.raises(build.Mismatch) as caught:
        built("FROM scratch\n", based=True)
    assert "FROM containers-measured/base" in caught.value.next
    monkeypatch.setattr(build.images, "base_of", lambda layers: "base")
    built("FROM containers-measured/base\n", based=True)


@pytest.mark.parametrize(
    ("text", "built_text"),
    [
        ("# syntax=docker/dockerfile:1\nFROM scratch\n", "#\nFROM scratch\n"),
        ("#Syntax = docker.io/docker/dockerfile:1.7-labs \nFROM scratch\n", "#\nFROM scratch\n"),
        ("# syntax=docker/dockerfile@sha256:1\nFROM scratch\n", "#\nFROM scratch\n"),
        ("# syntax=docker/dockerfile\n# escape=`\n# words\nFROM scratch\n", "# escape=`\n#\n# words\nFROM scratch\n"),
        ("# check=error=true\n# syntax=docker/dockerfile:1\nFROM scratch\n", "# check=error=true\n#\nFROM scratch\n"),
    ],
)
def test_dockers_own_frontend_is_not_fetched(built, text, built_text):
    assert built(text) == built_text


@pytest.mark.parametrize(
    "text",
    [
        "# syntax=example.org/docker/dockerfile:1\nFROM scratch\n",
        "# syntax=docker/dockerfile-upstream\nFROM scratch\n",
        "# words\n# syntax=docker/dockerfile:1\nFROM scratch\n",
        "FROM scratch\nRUN cat <<END\n# syntax=docker/dockerfile:1\nEND\n",
    ],
)
def test_another_frontend_and_what_only_looks_like_one_stay(built, text):
    assert built(text) == text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("FROM python:3.13-slim\n", "FROM python:3.13-slim"),
        (
            "from --platform=linux/amd64 python AS index\nFROM containers-measured/base\n",
            "from --platform=linux/amd64 python AS index",
        ),
        ("FROM containers-measured/base\nCOPY --from=python:3.13 /a /b\n", "COPY --from=python:3.13 /a /b"),
        (
            "FROM containers-measured/base\nRUN --mount=type=bind,from=busybox,target=/b true\n",
            "RUN --mount=type=bind,from=busybox,target=/b true",
        ),
    ],
)
def test_an_image_that_may_not_be_where_answers_are_graded_is_named(built, text, named):
    with pytest.raises(build.Mismatch) as caught:
        built(text)
    assert caught.value.actual == named


@pytest.mark.parametrize(
    "text",
    [
        "FROM containers-measured/base AS One\nFROM one\nCOPY --from=0 /a /b\nCOPY --from=ONE /a /b\n",
        'FROM containers-measured/base\nRUN python3 sell.py --from=2026 from=x\nCMD ["sell", "--from=2026"]\n',
        "FROM \\\n  containers-measured/base\n# FROM python\nRUN --mount=type=bind,\\\n  target=/b true\n",
        'FROM docker.io/containers-measured/base:latest AS two\nRUN --mount="type=bind,from=two,target=/b" true\n',
        "ARG BASE=containers-measured/base\nFROM ${BASE}\nRUN cat <<END\nFROM python\nCOPY --from=busybox\nEND\n",
    ],
)
def test_stages_and_images_of_the_book_may_be_named(built, text):
    assert built(text) == text
