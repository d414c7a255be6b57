"""A lab as data: what its folder says of it, without running any of it."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import get_origin, get_type_hints

from boxlab import paths
from boxlab.errors import LabError, UsageError
from boxlab.language import _

NEEDS = ("engine", "root", "vm")
"""What a lab may say that it needs of the machine."""


FENCES, INDENTED = ("```", "~~~"), "    "
"""How code begins in Markdown."""


@dataclass(frozen=True)
class Lab:
    """What lab.toml holds.

    Attributes:
        folder: where the lab lies; its name, such as "08-size", is the lab's id.
        minutes: how long a learner takes.
        points: the sum of the checks'.
        needs: of `NEEDS`.
        files: what a learner hands in, relative to the folder of the lab; those that the starter has must be there.
        starter_fails: the check that the starter fails.
        wrong: folder below wrong/ -> the one check that it fails.
        seconds: what a warm check is promised to take, which `make bench` measures.
    """

    folder: Path
    title: str
    minutes: int
    points: int
    files: tuple[str, ...]
    starter_fails: str
    wrong: dict[str, str]
    needs: tuple[str, ...] = ()
    seconds: float = 5

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def name(self) -> str:
        """What one types for it: its number, or its id where another lab has the same number."""
        number = self.id.partition("-")[0]
        return number if len(list(self.folder.parent.glob(f"{number}-*/lab.toml"))) == 1 else self.id

    @property
    def starter(self) -> Path:
        return self.folder / "starter"

    @property
    def solution(self) -> Path:
        return self.folder / "solution"

    @property
    def checks(self) -> Path:
        return self.folder / "checks.py"

    def right(self) -> list[str]:
        """Names of the folders below right/: other answers that pass."""
        return sorted(path.name for path in (self.folder / "right").glob("*") if path.is_dir())

    def hints(self) -> list[str]:
        """The parts of hints.md, each with its heading."""
        text = (self.folder / "hints.md").read_text(encoding="utf-8")
        return [in_language(hint) for hint in re.findall(r"^## .*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)]


def in_language(markdown: str) -> str:
    """A Markdown text in the reader's language: what stands between blank lines is a message, and code is none."""
    blocks: list[list[str]] = [[]]
    fenced = False
    for line in markdown.split("\n"):
        fenced ^= line.startswith(FENCES)
        if line.strip() or fenced:
            blocks[-1].append(line)
        else:
            blocks += [[line], []]
    return "\n".join(_said("\n".join(block)) for block in blocks if block)


def _said(block: str) -> str:
    message = block.strip()
    return block if block.startswith((*FENCES, INDENTED)) else block.replace(message, _(message))


def read(folder: Path) -> Lab:
    """The lab in a folder.

    Raises:
        LabError: lab.toml is missing or not as it must be.
    """
    path = folder / "lab.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabError(f"{path}: {error}") from error
    kinds = get_type_hints(Lab)
    del kinds["folder"]
    optional = {"needs", "seconds"}
    if wrong := [_("{name} is unknown", name=name) for name in data.keys() - kinds.keys()] + [
        _("{name} is missing", name=name) for name in kinds.keys() - data.keys() - optional
    ]:
        raise LabError(f"{path}: {'; '.join(sorted(wrong))}")
    for name, value in data.items():
        if kinds[name] == tuple[str, ...]:
            if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
                raise LabError(_("{path}: {name} is no list of texts", path=path, name=name))
            data[name] = tuple(value)
        elif not isinstance(value, (int, float) if kinds[name] is float else get_origin(kinds[name]) or kinds[name]):
            raise LabError(_("{path}: {name} is a {type}", path=path, name=name, type=type(value).__name__))
    for name in data["files"]:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise LabError(_("{path}: {key}: {name} lies outside of the lab", path=path, key="files", name=name))
    if unknown := set(data.get("needs", ())) - set(NEEDS):
        raise LabError(f"{path}: needs: {', '.join(sorted(unknown))}", _("of: {names}", names=", ".join(NEEDS)))
    data["title"] = _(data["title"])
    return Lab(folder, **data)


def every() -> list[Lab]:
    """All labs, by number."""
    return [read(path.parent) for path in sorted(paths.LABS.glob("*/lab.toml"))]


def find(name: str) -> Lab:
    """The lab of that number ("8", "08"), slug ("size") or id ("08-size").

    Raises:
        UsageError: there is none, or there are several of that number.
    """
    labs = every()
    for lab in labs:
        if name in (lab.id, lab.id.partition("-")[2]):
            return lab
    found = [lab for lab in labs if name.zfill(2) == lab.id.partition("-")[0]]
    if len(found) == 1:
        return found[0]
    known = ", ".join(lab.id for lab in found or labs)
    if found:
        raise UsageError(_("there are several labs {name}", name=name), _("one of: {labs}", labs=known))
    raise UsageError(_("there is no lab {name!r}", name=name), _("one of: {labs}", labs=known or _("none yet")))
