"""How thorough a run is. The profile is part of every record and of every caption."""

import os
from dataclasses import dataclass

from boxlab.errors import BoxlabError
from boxlab.language import _

VARIABLE = "PROFILE"


@dataclass(frozen=True)
class Profile:
    """One degree of thoroughness.

    Attributes:
        rounds: how many rounds of a quick and restless measurement count, such as of a start.
        steady: the same for one that takes long and hardly varies, such as of memory; the fewest that give an interval.
    """

    name: str
    rounds: int
    steady: int


ALL = {p.name: p for p in (Profile("quick", 6, 2), Profile("class", 10, 6), Profile("paper", 30, 10))}


def named(name: str | None = None) -> Profile:
    """The profile called `name`, else the one that the environment names, else "class".

    Raises:
        BoxlabError: there is none of that name.
    """
    name = name or os.environ.get(VARIABLE) or "class"
    if name not in ALL:
        raise BoxlabError(_("there is no profile {name!r}", name=name), _("one of: {names}", names=", ".join(ALL)))
    return ALL[name]
