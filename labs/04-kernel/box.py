"""What runs in each box of lab 04: it says what the box's kernel shows it, and dresses the box up when told to."""

import ctypes
import os
import stat

UNAME_26 = 0x20000  # linux/personality.h: system call uname tells an old release
LONGEST = 1 << 14  # of a text, in characters

APART = {"self", "thread-self", "task", "fd", "fdinfo", "map_files", "ns"} | {
    *("kmsg", "kcore", "kpagecount", "kpageflags", "kpagecgroup", "kallsyms", "mem", "pagemap", "clear_refs")
}
"""What leads elsewhere, can be read but once, or is large and nobody's proof."""

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


def everything(top: str) -> dict[str, str]:
    """The text of each file below /proc that is the kernel's and no process's, or below a process's folder."""
    found = {}
    for folder, folders, files in os.walk(f"{top}/"):  # or a link would not be followed
        folders[:] = [name for name in folders if not name.isdigit() and name not in APART]
        for name in files:
            path = os.path.join(folder, name)
            text = None if name in APART else look(path)
            if text is not None and len(text) < LONGEST:
                found[path] = text
    return found


def dress(release: bool, write: dict[str, str]) -> None:
    """Make the box look like another.

    Args:
        release: let the system call uname tell another release.
        write: path -> text of files to write.
    """
    if release and libc.personality(UNAME_26) < 0:
        raise OSError(ctypes.get_errno(), "personality")
    for path, text in write.items():
        with open(path, "w") as file:
            file.write(text)


def answer(asked):
    (verb, arguments), *_ = asked.items()
    return {"look": look, "everything": everything, "dress": dress}[verb](*arguments)
