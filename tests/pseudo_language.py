"""What a test asks of output in the language that accents every letter: which words were left out."""

import re

WORD = re.compile(r"[A-Za-z]{3,}")


def unaccented(text: str, allowed: str) -> list[str]:
    """The words without an accent, but for those in backticks and in what the pattern `allowed` matches."""
    return WORD.findall(re.sub(rf"`[^`]*`|{allowed}", " ", text))
