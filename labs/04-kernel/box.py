"""What runs in each box of lab 04: it says what the box's kernel shows it, and dresses the box up when told to."""

import ctypes
import os
import stat

UNAME_26 = 0x20000  # linux/personality.h: system call uname tells an old release
LONGEST = 1 << 14

libc = ctypes.CDLL(None, use_errno=True)


def look(path: str) -> str | None:
    """A file's text, a link's target, the names in a folder; "uname" for the system call; None where there is nothing."""
    if path == "uname":
        return " ".join(os.uname())
    try:
        kind = os.lstat(path).st_mode
        if stat.S_ISLNK(kind) and path.startswith("/proc/"):
            return os.readlink(path)
        if os.path.isdir(path):
            return "\n".join(sorted(os.listdir(path)))
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), errors="replace") as file:
            return file.read(LONGEST)
    except OSError:
        return None


def below(path: str) -> dict[str, str | None]:
    """All that there is to read at `path` and below it."""
    found = {path: look(path)}
    if os.path.isdir(path) and not os.path.islink(path):
        for name in (found[path] or "").split("\n"):
            found |= below(f"{path}/{name}") if name else {}
    return found


def dress(write: dict[str, str]) -> None:
    """Make the box look like another: uname tells another release, and these files have another text."""
    if libc.personality(UNAME_26) < 0:
        raise OSError(ctypes.get_errno(), "personality")
    for path, text in write.items():
        with open(path, "w") as file:
            file.write(text)


def answer(question: dict) -> object:
    """{"look": path}, {"below": path} or {"dress": files}."""
    [(name, given)] = question.items()
    return {"look": look, "below": below, "dress": dress}[name](given)
