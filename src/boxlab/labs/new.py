"""The skeleton of a new lab: it runs at once, and `boxlab verify` says of it that it is unfinished."""

import re
from pathlib import Path

from boxlab import paths
from boxlab.errors import UsageError
from boxlab.language import _

TODO = "TODO"
"""What stands in a file that its author has still to write."""

FILES = {
    "lab.toml": """title = "TODO: what the learner does"
minutes = 20
points = 1
needs = []
files = ["answer.py"]
starter_fails = "greets"

[wrong]
written-down = "greets"
""",
    "README.md": """# Lab: TODO: what the learner does

:::{admonition} Before you start
:class: note
**Time:** about twenty minutes. **You need:** nothing but the book.

**You will be able to**
- TODO: what, in words that one would search for.
:::

TODO: what somebody has met, and what is wrong with it.

    .venv/bin/boxlab start NUMBER

makes your copy in `work/ID`, with one file, `answer.py`.
Change it until

- `greet` greets whoever it is given.

`.venv/bin/boxlab check NUMBER` tells you what already works, and `.venv/bin/boxlab hint NUMBER` helps.

## Why it matters

TODO: and which chapter measures it.

## What stays on your machine

Nothing.
""",
    "hints.md": """## A nudge

TODO: where to look.

## A pointer

TODO: what to use.

## Nearly there

TODO: nearly the answer.
""",
    "starter/answer.py": '''"""TODO: what this is."""


def greet(name: str) -> str:
    """A greeting, such as "hello, Ada"."""
    return "hello"
''',
    "solution/answer.py": '''"""TODO: what this is."""


def greet(name: str) -> str:
    """A greeting, such as "hello, Ada"."""
    return f"hello, {name}"
''',
    "wrong/written-down/answer.py": '''"""TODO: the answer to one question, written down."""


def greet(name: str) -> str:
    return "hello, Ada"
''',
    "checks.py": '''"""Lab NUMBER: TODO: what holds in the end."""

from boxlab.labs import Work, _, check, same


@check(points=1)
def greets(work: Work) -> None:
    """`greet` greets whoever it is given."""
    name = f"name-{work.random.getrandbits(32):x}"
    (answer,) = work.call("answer", ("greet", name))
    same(f"hello, {name}", str(answer), why=_("TODO: the rule behind it"), next=_("TODO: what to do now"))
''',
}
"""What lies in it."""


def lay(name: str) -> Path:
    """Lay a new lab, and return its folder.

    Args:
        name: number of its chapter and slug, such as "11-order".

    Raises:
        UsageError: that is no such name, or there is a lab of that name.
    """
    if not re.fullmatch(r"\d\d-[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UsageError(
            _("{name!r} is no name of a lab", name=name),
            _("two digits and words in small letters, as in {example}", example="11-order"),
        )
    folder = paths.LABS / name
    if folder.exists():
        raise UsageError(_("{folder} is there already", folder=folder), _("choose another slug"))
    for path, text in FILES.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("NUMBER", name[:2]).replace("ID", name), encoding="utf-8")
    return folder


def unfinished(folder: Path) -> list[str]:
    """The lines of a lab that its author has still to write, as "file:line"."""
    return [
        f"{path.relative_to(folder)}:{number}"
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".toml", ".md", ".py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if f"{TODO}: " in line
    ]
