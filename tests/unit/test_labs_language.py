"""What a learner sees of labs goes through gettext: seen in a language that accents every letter, and by reading the sources."""

import ast
import os
import re
import shutil
import string
import subprocess
import sys
from pathlib import Path

import pytest
import toy_lab
from pseudo_language import unaccented

from boxlab import errors, language, paths
from boxlab.labs import lab

LABS = [each.id for each in lab.every()]

ALLOWED = (
    r"boxlab (start|check) [\w -]+"  # what to type
    r"|unix:///nowhere"  # the engine
    r"|--\w[\w-]*"  # options
    r"|(?<!\w)(work|labs|/)[\w./-]*/[\w./-]*"  # folders and files
    r"|[\w.-]+\.(py|md|toml|json|yaml|sh)\b|Dockerfile|\.dockerignore"
    r"|\b\d\d-[\w-]+"  # names of labs
    r"|boxlab: |Usage: .*|Try '.*|Error: "  # the name of the command, and what click says
)


def pseudo(*command: str) -> str:
    """What a command prints in that language."""
    variables = os.environ | {language.LANGUAGE: language.PSEUDO, "DOCKER_HOST": "unix:///nowhere", "COLUMNS": "300"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def say(tmp_path):
    """The command `boxlab` in that language, on the book's labs, with a folder of its own for the copies."""
    (tmp_path / "labs").symlink_to(paths.LABS)
    return lambda *arguments, **more: pseudo(*toy_lab.command(tmp_path, *arguments, **more)).replace(
        str(tmp_path), "/work"
    )


def test_an_unaccented_word_is_seen():
    assert unaccented("ḿàďè it `again` in work/06-startup", ALLOWED) == []
    assert unaccented("ḿàďè anew `again` in work/06-startup", ALLOWED) == ["anew"]


ONE_AFTER_ANOTHER = """
import contextlib
from boxlab import cli
for words in {calls!r}:
    with contextlib.suppress(SystemExit):
        cli.main(words, prog_name="boxlab")
"""


@pytest.mark.parametrize("name", LABS)
def test_what_commands_say_of_a_lab_is_accented(say, name):
    verbs = ("check", "start", "start", "hint", "hint", "hint", "hint", "solution", "reset")
    calls = [[verb, name] for verb in verbs] + [["reset", name, "--yes"]]
    said = say("shell", name, before=ONE_AFTER_ANOTHER.format(calls=calls))
    assert len(said.splitlines()) > len(verbs)
    assert unaccented(without_code(said), ALLOWED) == []


def without_code(text: str) -> str:
    """A text without the lines that Markdown shows as code."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("    "))


def test_the_list_of_labs_is_accented(say):
    assert unaccented(say("labs"), ALLOWED) == []
    assert unaccented(say("check", "nonsense"), ALLOWED + "|nonsense") == []


HELPED = ("labs", "start", "check", "shell", "hint", "reset", "solution", "readings", "verify", "new-lab")
CLICK = r"|Options:|Show this message and exit\.|default:|INTEGER RANGE|\bLAB\b|\bCOUNTS\b"


@pytest.mark.parametrize("name", HELPED)
def test_the_help_of_a_command_is_accented(say, name):
    assert unaccented(say(name, "--help"), ALLOWED + CLICK) == []


@pytest.mark.parametrize("answer", ["starter", "solution", "wrong/blocks", "wrong/tried-again", "wrong/upper-median"])
def test_a_report_is_accented(say, tmp_path, answer):
    say("start", "06")
    for file in (paths.LABS / "06-startup" / answer).glob("bench.py"):
        shutil.copy(file, tmp_path / "work/06-startup")
    names = r"|box-\w+|workload: ready|\b(seconds|error|round|None|time|median|low|high|slowest|KeyboardInterrupt)\b"
    assert unaccented(say("check", "06"), ALLOWED + names) == []


@pytest.mark.parametrize("name", LABS)
def test_what_checks_assert_is_accented(name):
    program = "import sys; from pathlib import Path; from boxlab.labs import checks; "
    program += "print(*(check.says for check in checks.load(Path(sys.argv[1]))[0]), sep='\\n')"
    says = pseudo(sys.executable, "-c", program, str(paths.LABS / name / "checks.py"))
    assert says.strip() and unaccented(says, "-") == []


def test_a_hint_keeps_its_code_and_its_blank_lines():
    code = "    begin()\n\n```python\nend()\n\nmore()\n```\n"
    text = f"## One\n\n\nTwo `three`\nfour.\n\n{code}"
    program = "import sys; from boxlab.labs import lab; print(lab.in_language(sys.argv[1]), end='')"
    one, two, four = (language._Pseudo().gettext(word) for word in ("One", "Two", "four."))
    assert pseudo(sys.executable, "-c", program, text) == f"## {one}\n\n\n{two} `three`\n{four}\n\n{code}"
    assert lab.in_language(text) == text


# The sources

SOURCES = [*sorted((paths.ROOT / "src/boxlab/labs").glob("*.py")), *sorted(paths.LABS.glob("*/checks.py"))]
SHOWN = {"expected", "actual", "why", "next", "reason", "fix", "help"}
RAISED = {"Mismatch", *(name for name, kind in vars(errors).items() if isinstance(kind, type))}

DATA = (
    "it is a link",  # seen by nobody
    "pull access denied|no such host|failed to resolve|dial tcp|manifest unknown",
    "boxlab: {}",
    "{}: needs: {}",  # of lab.toml
    "pids.max {}",
    '{"service": {…}, "neighbor": {…}}',
)
"""What is no sentence, or seen by nobody."""


def left_out(source: str) -> list[str]:
    """The sentences of a program that are shown and do not go through `_` or `several`, each with its line."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            shown = [keyword.value for keyword in node.keywords if keyword.arg in SHOWN]
            shown += node.args if name in RAISED | {"refuse", "unlike", "echo"} else []
        elif isinstance(node, (ast.Assign, ast.NamedExpr)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            shown = (
                [node.value] if any(getattr(each, "id", getattr(each, "attr", "")) in SHOWN for each in targets) else []
            )
        else:
            continue
        found += [f"{node.lineno}: {words}" for value in shown for words in sentences(value) if words not in DATA]
    return found


def sentences(node: ast.AST):
    """The literals in an expression that have a space and letters, without those of `_` and `several`, and without commands."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("_", "several"):
        return
    if isinstance(node, ast.JoinedStr):
        words = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    else:
        words = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    words = re.sub(r"`[^`]*`|\x1b\S*", "", words)
    if " " in words.strip() and re.search("[a-z]{2}", words):
        yield words
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Constant) or not isinstance(node, ast.JoinedStr):
            yield from sentences(child)


each_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(Path(path).relative_to(paths.ROOT)))


@each_source
def test_every_sentence_goes_through_gettext(path):
    assert left_out(path.read_text(encoding="utf-8")) == []


@each_source
def test_every_value_has_its_place(path):
    """Also in messages that are shown only where something has gone wrong that no test brings about."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in ("_", "several"):
            continue
        values = {"count"} if node.func.id == "several" else set()
        values |= {keyword.arg for keyword in node.keywords}
        for message in node.args[: 1 + len({"count"} & values)]:
            if isinstance(message, ast.Constant) and None not in values:
                places = {field for _, field, _, _ in string.Formatter().parse(message.value) if field is not None}
                assert places == values, f"{node.lineno}: {message.value}"


@each_source
def test_nothing_else_is_called_like_gettext(path):
    names = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Name)]
    names = [node for node in names if isinstance(node.ctx, ast.Store)]
    assert [node.lineno for node in names if node.id in ("_", "several")] == []


@pytest.mark.parametrize(
    "line",
    [
        'raise Mismatch("an answer", actual, why, next)',
        'raise UsageError(f"there is no {name}")',
        'raise UsageError(_("none"), "write one")',
        'why = "nothing says nothing"',
        'same(one, other, why=_("b c"), next="do so" if one else _("do that"))',
        'click.echo("all passed")',
    ],
)
def test_a_sentence_that_does_not_is_seen(line):
    assert len(left_out(line)) == 1
