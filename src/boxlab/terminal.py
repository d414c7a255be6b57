"""What a command inherits from whoever started it, made fit: descriptors, signals, variables, and a terminal's characters."""

import codecs
import io
import locale
import os
import pwd
import signal
import sys
import unicodedata

from boxlab import disk, interrupts, paths
from boxlab.language import _

OUTPUT = _("the standard output")
"""How an error names it."""

ENCODING = "boxlab-encoding"
"""Option of Python (-X) by which a command that began anew knows what its terminal can show."""

ASCII = "boxlab-ascii"
"""ASCII under a name that click does not know: it would write UTF-8 instead."""

PLAIN = {
    "✓": "ok", "✗": "x", "–": "-", "—": "-", "−": "-", "…": "...", "→": "->", "×": "x", "µ": "u", "μ": "u", "·": ".",
    "•": "*", "≤": "<=", "≥": ">=", "≈": "~", "±": "+/-", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'",
}  # fmt: skip
"""What stands for a character that a terminal cannot show."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def prepare() -> None:
    """Make what was inherited fit; where files are not read as UTF-8, begin anew so that they are."""
    _open_descriptors()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, the status of a process that ends is lost
    if not os.environ.get("PATH"):
        os.environ["PATH"] = PATH
    if not os.environ.get("HOME"):
        os.environ["HOME"] = _home()
    try:
        os.getcwd()
    except OSError:
        os.chdir(paths.ROOT)
    encoding = sys._xoptions.get(ENCODING)
    if not encoding and not sys.flags.utf8_mode and codecs.lookup(locale.getencoding()).name != "utf-8":
        _begin_anew()
    codecs.register(_ascii)
    codecs.register_error(ASCII, _plain)
    for name, called in (("stdout", OUTPUT), ("stderr", _("the error output"))):
        stream = getattr(sys, name)
        encoding = codecs.lookup(sys._xoptions.get(ENCODING) or stream.encoding).name
        encoding = ASCII if encoding == "ascii" else encoding
        setattr(sys, name, _Stream(stream.detach(), encoding, ASCII, line_buffering=stream.line_buffering))
        getattr(sys, name).called = called
    signal.pthread_sigmask(signal.SIG_UNBLOCK, interrupts.SIGNALS)


def _open_descriptors() -> None:
    """Open what is closed of input, output and error output, or the next file that is opened would be taken for it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            stream = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115  # it stays
            setattr(sys, name, stream)


def _home() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return str(paths.CACHE)


def _begin_anew() -> None:
    """The same command with files read as UTF-8, whatever the terminal can show; an interrupt waits until it listens."""
    os.environ["PYTHONUTF8"] = "1"
    signal.pthread_sigmask(signal.SIG_BLOCK, interrupts.SIGNALS)
    os.execv(sys.executable, [sys.executable, "-X", f"{ENCODING}={sys.stdout.encoding}", *sys.orig_argv[1:]])


def _ascii(name: str) -> codecs.CodecInfo | None:
    if name != ASCII.replace("-", "_"):
        return None
    known = codecs.lookup("ascii")
    return codecs.CodecInfo(*known, known.incrementalencoder, known.incrementaldecoder, name=ASCII)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """In place of what cannot be shown: its like in ASCII, or its number; a byte of a file's name stays what it is."""
    assert isinstance(error, UnicodeEncodeError)  # `ASCII` is what we write, never what we read
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), error.start + 1
    like = PLAIN.get(character) or unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return like or ascii(character)[1:-1], error.start + 1


class _Stream(io.TextIOWrapper):
    """A stream whose errors name it."""

    called: str

    def write(self, text: str) -> int:
        with disk.named(self.called):
            return super().write(text)

    def flush(self) -> None:
        with disk.named(self.called):
            super().flush()


def drop_output() -> None:
    """Throw away what was printed and cannot be written, or Python tries again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
