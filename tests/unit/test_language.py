"""What a reader sees is in the reader's language, and all of it is collected for translators."""

import ast
import io
import json
import os
import platform
import re
import string
import sys
from pathlib import Path

import command
import pytest
from babel.messages import mofile, pofile
from pseudo_language import unaccented

from boxlab import cli, images, language, paths, profiles, records, runtimes
from boxlab.runtimes.onion import NAMESPACES

CLICK = (
    *("Show this message and exit.", "Show the version and exit.", "Usage", "Options", "Commands"),
    *("OPTIONS", "COMMAND", "ARGS", "INTEGER RANGE", "INTEGER", "TEXT", "FILE", "default"),
)
"""click's own words, which come from its own catalogue."""

NAMES = ("boxlab", "Docker Engine", "cgroup", "KiB", "MiB", "GiB", "KVM", "TCG", "Python", "QEMU")

MACHINE = (platform.system(), platform.release(), platform.machine())

AS_TYPED = r"--[a-z-]+|\S*/\S*|\b[A-Z]+(?:_[A-Z]+)+\b|\bnosuch\b"
"""Options, paths, environment variables, and what these tests type."""

HELP = """
import json
from click.testing import CliRunner
from boxlab import cli
ask = lambda *words: CliRunner().invoke(cli.main, [*words, "--help"], prog_name="boxlab").output
print(json.dumps({"": ask()} | {name: ask(name) for name in cli.main.commands}))
"""


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Runs Python in another language, where there is no engine, nor any command; returns what it prints and complains."""
    nothing = tmp_path_factory.mktemp("nothing")

    def run(*arguments, **variables):
        environment = {
            "PATH": str(nothing),
            "HOME": str(nothing),
            "DOCKER_CONFIG": str(nothing),
            "DOCKER_HOST": "unix:///nowhere/docker.sock",
            "BOXLAB_ACCELERATOR": "kvm",
            "BOXLAB_TERMINAL": "",
            "COLUMNS": "1000",
            "PYTHONUTF8": "1",
        }
        done = command.run(sys.executable, *arguments, env=os.environ | environment | variables, encoding="utf-8")
        return done.stdout, done.stderr

    return run


@pytest.fixture(scope="module")
def helps(ask):
    return json.loads(ask("-c", HELP, BOXLAB_LANGUAGE=language.PSEUDO)[0])


def unspoken(text, but=()):
    """The words of a text that are in no language but English, `but` for names that belong there."""
    names = "|".join(map(re.escape, sorted((*CLICK, *NAMES, *but), key=len, reverse=True)))
    return unaccented(" ".join(text.split()), rf"{AS_TYPED}|(?<![\w-])({names})(?![\w-])")


@pytest.mark.parametrize("name", ["", *cli.main.commands])
def test_help_is_in_the_language(name, helps):
    assert "Usage: " in helps[name]
    assert unspoken(helps[name], [*cli.main.commands, *profiles.ALL]) == []


def test_what_the_doctor_finds_is_in_the_language(ask):
    printed, complaint = ask("-m", "boxlab", "doctor", BOXLAB_LANGUAGE=language.PSEUDO)
    assert "→" in printed and complaint == ""
    assert unspoken(printed, MACHINE) == []


def test_what_the_doctor_finds_is_in_the_language_as_data_as_well(ask):
    findings = json.loads(ask("-m", "boxlab", "doctor", "--json", BOXLAB_LANGUAGE=language.PSEUDO)[0])
    assert {finding["state"] for finding in findings} <= {"ok", "note", "warning", "failure"}
    said = [finding[part] for finding in findings for part in ("what", "detail", "fix")]
    assert unspoken(" ".join(said), MACHINE) == []


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param("prepare", id="no engine"),
        pytest.param("density", id="no such profile"),
        pytest.param("clean nosuch", id="no such image"),
        pytest.param("compare {bad} {bad}", id="no record"),
    ],
)
def test_errors_are_in_the_language(arguments, ask, tmp_path):
    (tmp_path / "bad").write_text("{}")
    words = arguments.format(bad=tmp_path / "bad").split()
    printed, complaint = ask("-m", "boxlab", *words, BOXLAB_LANGUAGE=language.PSEUDO, PROFILE="nosuch")
    assert printed == "" and "boxlab: " in complaint
    assert unspoken(complaint, [*images.names(), *profiles.ALL, *(kind.label for kind in runtimes.ALL)]) == []


DRAW = """
import json, re, sys
sys.path.append(sys.argv[1])
import drawn
from boxlab import paths, plots, prose, records, tables
said = {}
for file in sorted(set(paths.RESULTS.glob("*.json")) - set(paths.RESULTS.glob("*.local.json"))):
    record = records.load(file)
    texts = [str(text) for text in prose.texts(record).values()]
    for table in [tables.summary(record)] + [tables.levels(record)] * bool(record.levels):
        texts += [table.index.name, *map(str, table.index), *map(str, table.columns), *map(str, table.to_numpy().ravel())]
    for plot in [draw(record) for draw in drawn.BY_EXPERIMENT.get(record.experiment, [])] + [plots.compare(record, record)]:
        texts += [plot.alt, plot.caption, *re.findall(r"<text[^>]*>([^<]*)</text>", plot.svg + plot.narrow)]
    texts += [text for sample in record.samples for text in record.said(sample).values()]
    said[file.stem] = texts
print(json.dumps(said))
"""

CALLED = (
    "docker run",
    "dockerd",
    "live-restore",
    "containerd",
    "docker-proxy",
    "localhost",
    "gVisor",
    "getppid",
    "stat",
    *NAMESPACES,
    "none",
    "host",
    "bridge",
)
"""What plots and tables call by its name: commands, system calls, namespaces, networks."""

RECORDS = [file.stem for file in sorted(paths.RESULTS.glob("*.json")) if not file.stem.endswith(".local")]


@pytest.fixture(scope="module")
def shown(ask):
    """All that is drawn, tabled and quoted from each stored record."""
    return json.loads(ask("-c", DRAW, paths.ROOT / "tests", BOXLAB_LANGUAGE=language.PSEUDO)[0])


@pytest.mark.parametrize("name", RECORDS)
def test_tables_plots_and_quoted_numbers_are_in_the_language(name, shown):
    record = records.load(paths.RESULTS / f"{name}.json")
    names = [
        *record.arms,
        *record.plan["left_out"],
        record.experiment,
        record.profile,
        record.provenance["host"]["cpu"],
    ]
    facts = [str(fact) for part in ("host", "engine") for fact in record.provenance[part].values()]
    assert len(shown[name]) > 20
    left = sorted({word for text in shown[name] for word in unspoken(text, [*names, *facts, *CALLED])})
    assert left == [], " ".join(left)


CATALOGUE = r"""
msgid ""
msgstr ""
"Language: pl\n"
"Content-Type: text/plain; charset=utf-8\n"

msgid "there is no image {names}"
msgstr "kein Bild {names}"

msgid "{count} authority beyond the public ones; put into the base image"
msgid_plural "{count} authorities beyond the public ones; put into the base image"
msgstr[0] "eine"
msgstr[1] "wenige ({count})"
msgstr[2] "viele ({count})"
"""


def test_a_catalogue_is_spoken_with_its_plurals(ask, tmp_path, monkeypatch):
    folder = tmp_path / "xx" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    with (folder / f"{language.DOMAIN}.mo").open("wb") as file:
        mofile.write_mo(file, pofile.read_po(io.StringIO(CATALOGUE)))
    spoken = {language.LANGUAGE: "xx", language.FOLDER: str(tmp_path)}
    assert ask("-m", "boxlab", "clean", "nosuch", **spoken)[1].startswith("boxlab: kein Bild nosuch\n  fix: one of: ")
    bundle = tmp_path / "bundle.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    bundle.write_text("")
    there = len(images.extra_certificates())
    for more in (1, 2, 5):
        block = "-----BEGIN CERTIFICATE-----\nours{}\n-----END CERTIFICATE-----\n"
        bundle.write_text("".join(block.format(number) for number in range(more)))
        printed, _ = ask("-m", "boxlab", "doctor", "--json", SSL_CERT_FILE=str(bundle), **spoken)
        found = {finding["what"]: finding["detail"] for finding in json.loads(printed)}["certificates"]
        count = there + more
        few = count % 10 in (2, 3, 4) and count % 100 not in (12, 13, 14)
        expected = "eine" if count == 1 else f"wenige ({count})" if few else f"viele ({count})"
        assert found == (expected if count else "only the public authorities")


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """What `make messages` collects, and the folder where it has updated a catalogue."""
    folder = tmp_path_factory.mktemp("messages")
    (folder / "xx" / "LC_MESSAGES").mkdir(parents=True)
    (folder / "xx" / "LC_MESSAGES" / "boxlab.po").write_text(CATALOGUE)
    variables = [f"BIN={Path(sys.executable).parent}", f"MESSAGES={folder}/boxlab.pot", f"CATALOGUES={folder}"]
    done = command.run("make", "--assume-old=.venv/.installed", "messages", *variables, cwd=paths.ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return pofile.read_po(io.StringIO((folder / "boxlab.pot").read_text())), folder


def test_all_that_readers_see_is_collected(collected):
    messages, _ = collected
    for known in (
        "there is no image {names}",
        "The findings as data.",
        "Say what this machine can do, and the fix for what it cannot.",
        "The image builds, without a network.",
        "## Look before you cut",
        "Find the kernel",
    ):
        assert known in messages, known
    assert messages["{count} CPU"].id == ("{count} CPU", "{count} CPUs")
    assert not any(message.id == ".venv/bin/boxlab start 08" for message in messages), "code is for no translator"


def test_an_updated_catalogue_keeps_what_is_translated_and_is_compiled(collected):
    _, folder = collected
    updated = (folder / "xx" / "LC_MESSAGES" / "boxlab.po").read_text()
    assert 'msgid "there is no image {names}"\nmsgstr "kein Bild {names}"' in updated
    assert 'msgid "The findings as data."\nmsgstr ""' in updated
    assert (folder / "xx" / "LC_MESSAGES" / "boxlab.mo").exists()


def calls():
    """Each call of `_` or `several`: where, its texts, and the names of its values."""
    for path in [*(paths.ROOT / "src/boxlab").rglob("*.py"), *paths.LABS.glob("*/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "several"):
                texts = [text.value for text in node.args if isinstance(text, ast.Constant)]
                count = {"count"} if node.func.id == "several" else set()
                yield f"{path}:{node.lineno}", texts, count | {value.arg for value in node.keywords}


def test_each_message_has_the_values_that_it_names_and_no_others():
    """An error that is never met by a test would else be met by a reader, as a KeyError."""
    found = list(calls())
    assert found
    for where, texts, values in found:
        for text in texts:
            named = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None} if values else set()
            assert None in values or named == values, where


def test_no_message_holds_a_placeholder_that_only_an_f_string_fills():
    for where, texts, _ in calls():
        for text in texts:
            named = [name for name in re.findall(r"\{([^{}]*)\}", text) if name]
            assert all(re.fullmatch(r"[a-z_]+(![rs])?(:[^{}]+)?", name) for name in named), where
