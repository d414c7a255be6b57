"""The language of what a reader sees: every sentence goes through `_` or `several`, by GNU gettext.

The language is that of the process: `BOXLAB_LANGUAGE` names it, else the variables of the system do (LANGUAGE, LC_ALL,
LC_MESSAGES, LANG). English stands in the code; catalogues lie in `locale/LANGUAGE/LC_MESSAGES/boxlab.mo`, which
`make messages` makes. The language `PSEUDO` accents every letter, so that a test sees what was left out.
"""

import gettext
import os
import re
from functools import cache
from pathlib import Path

LANGUAGE = "BOXLAB_LANGUAGE"
"""Environment variable: the language, such as ko."""

FOLDER = "BOXLAB_LOCALE"
"""Environment variable: where catalogues lie, if not in the package."""

PSEUDO = "pseudo"

DOMAIN = "boxlab"

_ACCENTS = str.maketrans(
    "AaBbCcDdEeFfGgHhIiJjKkLlMmNnOoPpQqRrSsTtUuVvWwXxYyZz",
    "ÀàḂḃĆćĎďÈèḞḟĜĝĤĥÌìĴĵĶķĹĺṀṁÑñÒòṖṗɊɋŔŕŚśŤťÙùṼṽŴŵẊẋÝýŽž",
)

_AS_IT_STANDS = re.compile(r"(\{[^{}]*\}|`[^`]*`)")
"""What no translator touches: a value's place, and what a reader types."""


class _Pseudo(gettext.NullTranslations):
    """A language that nobody speaks: English with an accent on every letter."""

    def gettext(self, message: str) -> str:
        parts = _AS_IT_STANDS.split(message)
        return "".join(part if number % 2 else part.translate(_ACCENTS) for number, part in enumerate(parts))

    def ngettext(self, one: str, many: str, count: int) -> str:
        return self.gettext(one if count == 1 else many)


@cache
def _translations() -> gettext.NullTranslations:
    language = os.environ.get(LANGUAGE)
    if language == PSEUDO:
        return _Pseudo()
    folder = os.environ.get(FOLDER) or Path(__file__).with_name("locale")
    return gettext.translation(DOMAIN, folder, [language] if language else None, fallback=True)


def _(message: str, **values: object) -> str:
    """`message` in the reader's language, with `values` in the places that it names, as `str.format` puts them there.

    A message without values is no format: its braces stay.
    """
    # The empty message is the catalogue's own head.
    said = _translations().gettext(message) if message else ""
    return said.format(**values) if values else said


def N_(message: str) -> str:
    """Marks a message that is translated later, where it is shown."""
    return message


def several(one: str, many: str, count: int, **values: object) -> str:
    """As `_`, with the form that goes with `count`, which has the place `{count}` in both."""
    return _translations().ngettext(one, many, count).format(count=count, **values)
