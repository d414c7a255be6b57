"""Files that are there whole or not at all, and removal that nothing stops."""

import os
import shutil
from pathlib import Path

from boxlab import marks, paths


def write(path: Path, text: str) -> None:
    """Write a file so that it is never half there; its draft lies beside it, as only that is sure to be the same file system.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{marks.name()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def drafts() -> list[Path]:
    """What is left of files whose writing was killed."""
    folders = (paths.RESULTS, paths.CACHE, paths.NAMES)
    return sorted(path for folder in folders for path in folder.glob(f".*.{marks.prefix()}*"))


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there, also one whose owner has taken its permissions away.

    Raises:
        OSError: it cannot be removed.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except PermissionError:
        path.chmod(0o700)
        for folder, names, _ in os.walk(path):  # it opens a folder after this has seen its parent
            for name in names:
                if not os.path.islink(inside := os.path.join(folder, name)):
                    os.chmod(inside, 0o700)
        shutil.rmtree(path)
