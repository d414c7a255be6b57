"""Render the book into _build/html: at once with the outputs there are, then again with each notebook that was measured here.

  tools/book.sh                       EXECUTE=auto  measure what is due, where an engine answers (the default)
                                      EXECUTE=off   take the stored outputs
                                      EXECUTE=on    measure what is due, and prepare nothing
                                      BOOK_OUT      where it goes instead of _build
  tools/book.sh measure NOTEBOOK...   the same, and of the notebooks only these, which prepare what they need themselves
  tools/book.sh store [NOTEBOOK...]   authors: run notebooks, and store their outputs and records
  tools/book.sh texts                 translators: write what there is to translate, as catalogs

Exit status: 0 fine, 1 a page or a notebook is wrong, 2 wrong usage, 3 the machine or the engine is in the way, 130 interrupted.
"""

import errno
import fcntl
import hashlib
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if __name__ == "__main__":  # until `main` there is nothing to clean up, and the imports take a while
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.modules["rfc3987_syntax"] = (
        None  # a grammar of addresses, half of all the loading, which jsonschema can do without
    )

from tqdm import tqdm

from boxlab import disk, engine, outputs, profiles, progress
from boxlab.errors import BoxlabError, EngineError
from boxlab.interrupts import deferred, signal_group
from boxlab.terminal import drop_output

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
INPUTS = ("_*.yml", "requirements.txt", "tools/book.py", "book/**/*", "labs/**/*", "notebooks/*.ipynb", "src/**/*")
"""What pages are rendered from."""

OUT = ROOT / (os.environ.get("BOOK_OUT") or "_build")
HTML = OUT / "html"
TEMPORARY = OUT / "tmp"
SPHINX = OUT / "sphinx"
"""Where pages are rendered, before each takes its place as a whole file."""

RENDERED = SPHINX / "rendered"
TEXTS = OUT / "texts"
MEASURED = OUT / "measured"
"""A folder of outputs for each state of the machine, engine, accelerator, profile and code."""

OUTPUT = "the standard output"
"""How an error names it."""

KEPT = 3
"""How many of them are kept."""

UNKNOWN_S = 60
"""How long a notebook is thought to take that has never run."""

ROOM = "free some room there, then `make book` again: it goes on where it was"
OWNER = 'make it yours: `sudo chown -R "$USER" _build` in the folder of the book'
FIXES = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EROFS: "make it writable, or clone the book to where you may write",
    errno.EACCES: OWNER,
    errno.EPERM: OWNER,
}


class Mistake(Exception):
    """A page is wrong; what is wrong with it has been said."""


def main() -> int:
    """Render and measure; returns the exit status."""
    arguments, execute = sys.argv[1:], os.environ.get("EXECUTE") or "auto"
    known = arguments[:1] in ([], ["store"]) or arguments == ["texts"] or (arguments[0] == "measure" and arguments[1:])
    if execute not in ("auto", "on", "off") or not known:
        print(__doc__, file=sys.stderr)
        return 2
    with alone(), temporary_files():
        if arguments == ["texts"]:
            sphinx(TEXTS, None, "--builder", "custom", "--custom-builder", "gettext")
            say(f"{shown(TEXTS / '_build' / 'gettext')} has the catalogs")
            return 0
        notebooks = [Path(name).resolve() for name in arguments[1:]] or NOTEBOOKS
        if arguments[:1] == ["store"]:
            return store(notebooks)
        if execute == "off":
            render(None)
            say(f"{shown(HTML)}/index.html, from the stored outputs")
            return 0
        return build(notebooks, prepares=execute == "auto")


def build(notebooks: list[Path], prepares: bool) -> int:
    """Render at once, measure which of the notebooks are due, and render again; with `prepares`, only where an engine answers."""
    if not (HTML / "index.html").exists():
        render(None)
        say(f"{shown(HTML)}/index.html can be read: with the stored outputs, measured by the authors")
    if prepares:
        try:
            engine.connect()
        except EngineError as error:
            say(f"no engine here (`make doctor` says why): {error}")
            render(None)
            say(f"{shown(HTML)}/index.html, from the stored outputs, and it says whose they are")
            return 0
    found = outputs.circumstances(ROOT)
    if (
        prepares
        and notebooks == NOTEBOOKS
        and (found["accelerator"] is None or due(NOTEBOOKS, MEASURED / outputs.key(found)))
    ):
        if status := call([sys.executable, "-m", "boxlab", "prepare", "--chapters"]).returncode:
            say("not measured; the lines above say why")
            return status
        found = outputs.circumstances(ROOT)
    folder = keep(MEASURED / outputs.key(found))
    changed, failed = render(folder), []
    if due(notebooks, folder):
        changed, failed = True, measure(notebooks, folder, found)
    if failed:
        say(f"{shown(HTML)}/index.html; not measured, and shown with the stored outputs: {', '.join(failed)}")
        return 1
    changes = "" if changed else "nothing has changed: "
    say(f"{changes}{shown(HTML)}/index.html, measured on this machine (profile {found['profile']})")
    return 0


def keep(folder: Path) -> Path:
    """Make a folder of outputs, and of all others keep the few that were used last."""
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    # A file browser may leave files of its own beside them.
    folders = [path for path in MEASURED.iterdir() if path.is_dir()]
    for old in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
        shutil.rmtree(old)
    return folder


def due(notebooks: list[Path], folder: Path) -> list[Path]:
    """Those of the notebooks whose outputs are not in `folder`."""
    return [path for path in notebooks if not outputs.holds(path, folder)]


def measure(notebooks: list[Path], folder: Path, found: dict) -> list[str]:
    """Run those of the notebooks that are due, one at a time, and render each; returns the names of those that failed.

    Raises:
        BoxlabError: there is no such profile.
        Mistake: a page is wrong; everything was measured all the same.
    """
    profiles.named(found["profile"])  # or every notebook would fail by it
    todo, failed, mistake = due(notebooks, folder), [], None
    expected = {path: expected_s(path, found["profile"]) for path in todo}
    say(f"measuring {len(todo)} of {len(notebooks)} notebooks, one after the other; {left(sum(expected.values()))}")
    ends, began = cell_counts(todo), time.monotonic()
    with tqdm(
        total=ends[-1],
        unit="cell",
        leave=False,
        position=1,
        disable=None,
        bar_format="{desc} |{bar}| {n_fmt}/{total_fmt} cells",
    ) as bar:
        for number, path in enumerate(todo, 1):
            name, started = f"notebooks/{path.stem}", time.monotonic()
            bar.set_description(f"book: {name}")
            failure = folder / f"{path.stem}.failed"
            try:
                outputs.save(outputs.run(path, found, kernel_environment(), bar.update), folder / path.name)
                failure.unlink(missing_ok=True)
            except outputs.CellFailed as error:
                disk.write(failure, f"{error}\n\n{error.traceback}")
                complain(f"{error}\n  its traceback: {shown(failure)}")
                failed.append(name)
            try:
                render(folder)
            except Mistake as error:
                mistake = error  # the others are measured all the same
            bar.n = ends[number - 1]
            bar.refresh()
            rate = (time.monotonic() - began) / sum(expected[done] for done in todo[:number])
            rest = rate * sum(expected[coming] for coming in todo[number:])
            count = f"{len(notebooks) - len(due(notebooks, folder))} of {len(notebooks)} measured"
            ended = " failed" if name in failed else ""
            say(f"{count}, {name}{ended} ({clock(time.monotonic() - started)}); {left(rest)}")
    if mistake:
        raise mistake
    return failed


def store(notebooks: list[Path]) -> int:
    """Run notebooks and store their outputs and records."""
    found = outputs.circumstances(ROOT)
    for path in notebooks:
        try:
            outputs.save(outputs.run(path, found, kernel_environment() | {"BOXLAB_STORE": "1"}), path)
        except outputs.CellFailed as error:
            complain(f"{error}\n{error.traceback}")
            return 1
        say(f"stored {shown(path)}")
    return 0


def expected_s(path: Path, profile: str) -> float:
    """How long a notebook may take: as when it last ran here by this profile, or else when its outputs were stored."""
    ran = [facts for facts in map(outputs.measured, MEASURED.glob(f"*/{path.name}")) if facts.get("profile") == profile]
    latest = max(ran, key=lambda facts: facts["created"], default=outputs.measured(path))
    return latest.get("seconds") or UNKNOWN_S


def cell_counts(notebooks: list[Path]) -> list[int]:
    """How many code cells there are up to the end of each notebook."""
    count, ends = 0, []
    for path in notebooks:
        count += len(outputs.code_cells(outputs.load(path)))
        ends.append(count)
    return ends


def clock(seconds: float) -> str:
    """Such as 01:12."""
    return f"{seconds // 60:02.0f}:{seconds % 60:02.0f}"


def left(seconds: float) -> str:
    """Such as "about 6 min left"."""
    if not seconds:
        return "none left"
    return f"about {math.ceil(seconds / 60)} min left"


def render(folder: Path | None) -> bool:
    """Render the pages, with the outputs in `folder` where it has them, unless they stand already.

    Returns:
        Whether anything had changed.

    Raises:
        Mistake: a page is wrong; the rendered book stays as it was.
        OSError: nothing can be written.
    """
    state = inputs(folder)
    if HTML.is_dir() and RENDERED.exists() and RENDERED.read_text() == state:
        return False
    RENDERED.unlink(missing_ok=True)
    sphinx(SPHINX, folder)
    publish(SPHINX / "_build" / "html")
    RENDERED.write_text(state)
    return True


def sphinx(where: Path, folder: Path | None, *more: str) -> None:
    """Have Jupyter Book read the pages and write what is made of them. One kind goes into one folder: no other can use what it has read.

    Raises:
        Mistake: a page is wrong.
        OSError: nothing can be written.
    """
    where.mkdir(exist_ok=True)
    # By the interpreter, not by the installed command: its first line cannot name every path.
    script = "import sys; sys.modules['rfc3987_syntax'] = None; from jupyter_book.cli.main import main; main()"
    book = [sys.executable, "-c", script, "build", "."]
    options = ["--path-output", str(where), "--warningiserror", "--nitpick", "--keep-going", "--quiet", *more]
    environment = {"BOOK_MEASURED": str(folder or ""), "TMPDIR": str(TEMPORARY)}
    built = call([*book, *options], environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if built.returncode:
        # Or the next build would take what this one has read, and pass without a word.
        shutil.rmtree(where / "_build" / ".doctrees", ignore_errors=True)
        trouble = re.findall(r"\[Errno (\d+)\] [^:\n]*(?:: '([^'\n]*)')?", built.stdout)
        for number, path in reversed(trouble):
            if int(number) in FIXES:
                raise OSError(int(number), os.strerror(int(number)), path or str(where))
        raise Mistake(f"{built.stdout}book: not rendered; the lines above say why")


def inputs(folder: Path | None) -> str:
    """Hash of all that the pages are made of."""
    files = [path for pattern in INPUTS for path in sorted(ROOT.glob(pattern))]
    files += sorted(folder.iterdir()) if folder else []
    digest = hashlib.sha256()
    for path in files:
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def publish(rendered: Path) -> None:
    """Put each file that has changed in its place, whole, pages after what they show; remove what is no more."""
    new = {path.relative_to(rendered) for path in rendered.rglob("*") if path.is_file()}
    for name in sorted(new, key=lambda name: (name.suffix == ".html", name)):
        source, target = rendered / name, HTML / name
        if not target.exists() or not same(source, target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, TEMPORARY / "page")
            (TEMPORARY / "page").replace(target)
    for path in HTML.rglob("*"):
        if path.is_file() and path.relative_to(HTML) not in new:
            path.unlink()


def same(one: Path, other: Path) -> bool:
    """Whether a file is the copy of another, by its size and time."""
    a, b = one.stat(), other.stat()
    return (a.st_size, a.st_mtime_ns) == (b.st_size, b.st_mtime_ns)


def call(command: list[str], environment: dict[str, str] | None = None, **options) -> subprocess.CompletedProcess:
    """Run a command. An interrupt reaches it once, from us, and it has ended before we go on."""
    process = None
    try:
        with deferred():
            process = subprocess.Popen(command, env=os.environ | (environment or {}), start_new_session=True, **options)
        output = process.communicate()[0]
    except KeyboardInterrupt:
        if process:
            process.terminate()
            try:
                process.communicate()
            except KeyboardInterrupt:  # once more: what it was clearing away stays for `boxlab clean`
                signal_group(process.pid, signal.SIGKILL)
                process.communicate()
        raise
    return subprocess.CompletedProcess(command, process.returncode, output)


def kernel_environment() -> dict[str, str]:
    """Bars are drawn on our terminal, if there is one; what a kernel leaves lies in our folder."""
    terminal = ""
    with suppress(OSError):  # one of another's /dev/pts, as in some containers, has no name here
        terminal = os.ttyname(sys.stderr.fileno()) if sys.stderr.isatty() else ""
    return os.environ | {"TMPDIR": str(TEMPORARY), progress.TERMINAL: os.environ.get(progress.TERMINAL, terminal)}


@contextmanager
def alone() -> Iterator[None]:
    """One at a time in one folder."""
    OUT.mkdir(parents=True, exist_ok=True)
    with (OUT / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another one is at work in {shown(OUT)}: waiting until it has ended")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:  # a disk without locks, as some network's
            pass
        yield


@contextmanager
def temporary_files() -> Iterator[None]:
    """A folder for what Sphinx and Jupyter leave when they fail, gone afterwards; nothing of the reader's own set-up counts."""
    shutil.rmtree(TEMPORARY, ignore_errors=True)
    TEMPORARY.mkdir(exist_ok=True)  # on a network's disk, a file that somebody has open stays
    os.environ |= {"JUPYTER_RUNTIME_DIR": str(TEMPORARY / "jupyter"), "IPYTHONDIR": str(TEMPORARY / "ipython")}
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    try:
        yield
    finally:
        shutil.rmtree(TEMPORARY, ignore_errors=True)


def shown(path: Path) -> str:
    """A path as the reader would type it in the book's folder."""
    return os.path.relpath(path, ROOT)


def say(text: str) -> None:
    with disk.named(OUTPUT):
        tqdm.write(f"book: {text}")
        sys.stdout.flush()


def complain(text: object) -> None:
    with suppress(OSError):  # nobody is left to read it
        tqdm.write(f"book: {text}", file=sys.stderr)


def interruptible() -> None:
    """Let all three signals interrupt as Ctrl-C does, whatever was inherited; only nohup's wish holds."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if number == signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))


if __name__ == "__main__":
    os.chdir(ROOT)
    try:
        interruptible()
        status = main()
    except KeyboardInterrupt:
        complain("interrupted; the next `make book` goes on where it was")
        status = 130
    except Mistake as error:
        complain(error)
        status = 1
    except BoxlabError as error:
        complain(error)
        status = 3
    except OSError as error:
        if error.filename == OUTPUT:
            drop_output()
            if isinstance(error, BrokenPipeError):
                sys.exit(141)  # its reader has gone: as a shell has it
        fix = FIXES.get(error.errno, "look at that path")
        complain(f"{error.filename or shown(OUT)}: {error.strerror or error}\n  fix: {fix}")
        status = 3
    sys.exit(status)
