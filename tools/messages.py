"""What Babel collects for translators, by the patterns in pyproject.toml: `make messages` runs it."""

import ast
import re
import tomllib
from collections.abc import Collection, Iterator
from typing import IO

Message = tuple[int, str | None, str | tuple[str, ...], list[str]]

FENCES, INDENTED = ("```", "~~~"), "    "
"""How code begins in Markdown."""


def python(file: IO[bytes], keywords: Collection[str], *unused: object, **options: object) -> Iterator[Message]:
    """Calls, which Babel itself overlooks in f-strings before Python 3.12, and docstrings that are shown: of commands and checks."""
    for node in ast.walk(ast.parse(file.read())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in keywords:
            texts = tuple(a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))
            if texts:  # else it stands elsewhere
                yield node.lineno, node.func.id, texts, []
        elif isinstance(node, ast.FunctionDef) and (text := ast.get_docstring(node)):
            decorators = {_name(decorator) for decorator in node.decorator_list}
            if decorators & {"command", "group"}:
                yield node.lineno, None, text, []
            elif "check" in decorators:
                yield node.lineno, None, " ".join(text.split()), []


def _name(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return called.attr if isinstance(called, ast.Attribute) else ast.unparse(called)


def markdown(file: IO[bytes], *unused: object, **options: object) -> Iterator[Message]:
    """What stands between blank lines, and is no code."""
    text, fenced = file.read().decode(), False
    for block in re.finditer(r"(?:^.*\S.*\n?)+", text, re.MULTILINE):
        code = fenced or block[0].startswith((*FENCES, INDENTED))
        fenced ^= sum(line.startswith(FENCES) for line in block[0].split("\n")) % 2 == 1
        if not code:
            yield text.count("\n", 0, block.start()) + 1, None, block[0].strip(), []


def lab(file: IO[bytes], *unused: object, **options: object) -> Iterator[Message]:
    """A lab's title."""
    yield 1, None, tomllib.loads(file.read().decode())["title"], []
