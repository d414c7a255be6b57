"""What a file holds of a secret, as it is or in another form."""

import base64
import bz2
import contextlib
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol


class Unpacker(Protocol):
    """What unpacks an archive's bytes."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """The first bytes of what was packed."""


UNPACKED = 64 << 20
"""So much is unpacked of one archive."""

WRITTEN = 64 << 10
"""A file up to this size is read as bytes that are written in letters, too: all of it, and each long word in it."""

ESCAPES = re.compile(rb"(?:(?:%|\\x|0x)[0-9a-fA-F]{2}[\s,;:]*){16,}")
NUMBERS = re.compile(rb"(?:[0-9]{1,7}[\s,;:&#]+){16,}[0-9]{0,7}")
"""Bytes as escapes of two hexadecimal digits; and bytes, or pairs of them, as octal or decimal numbers, one after the other."""

PACKERS: dict[bytes, Callable[[], Unpacker]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(zlib.MAX_WBITS | 32),
    b"\x78": zlib.decompressobj,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lzma.LZMADecompressor,
    b"\x5d\0\0": lzma.LZMADecompressor,
}
"""How compressed bytes begin, and what unpacks them."""

WRITINGS = (
    lambda word: base64.b16decode(word, casefold=True),
    lambda word: base64.b32decode(word + b"=" * (-len(word) % 8), casefold=True),
    lambda word: base64.b64decode(
        word.translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(word) % 4), validate=True
    ),
    base64.b85decode,
    base64.a85decode,
)
"""How bytes are written in letters."""


def views(content: bytes, depth: int = 4) -> Iterator[bytes]:
    """A content, and what it is packed or written from: gzip, bzip2, xz, tar, zip, base16 to base85, numbers, and one of these in another."""
    yield content
    for inner in _inner(content) if depth else ():
        yield from views(inner, depth - 1)


def _inner(content: bytes) -> Iterator[bytes]:
    """What a content is packed or written from, where it is; what cannot be read as one of them is none."""
    for start, packer in PACKERS.items():
        if content.startswith(start):
            with contextlib.suppress(zlib.error, OSError, lzma.LZMAError):
                yield packer().decompress(content, UNPACKED)
    try:
        if content[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                opened = (archive.extractfile(member) for member in archive if member.isfile())
                yield from (file.read(UNPACKED) for file in opened if file)
        elif content.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for name in archive.namelist():
                    with archive.open(name) as file:
                        yield file.read(UNPACKED)
    except (tarfile.TarError, zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, zlib.error):
        pass
    if len(content) <= WRITTEN:
        for word in {b"".join(content.split()), *re.findall(rb"[\w+/=-]{24,}", content)}:
            for decode in WRITINGS:
                with contextlib.suppress(ValueError):
                    yield decode(word)
        for written in ESCAPES.findall(content):
            yield re.sub(rb"%|\\x|0x|[,;:]", b"", written)
        for written in NUMBERS.findall(content):
            for base, digits in ((8, rb"[0-7]+"), (10, rb"[0-9]+")):
                numbers = [int(number, base) for number in re.findall(digits, written)]
                for width in (1, 2):
                    yield b"".join(number.to_bytes(width, "little") for number in numbers if number < 256**width)


def shows(content: bytes, key: str) -> bool:
    """Whether a quarter of the key's digits can be read from a content, unpacked or not, with whatever letters between.

    As text in any Unicode encoding and either case, backwards, in hexadecimal, in base64 at any place, or as the bytes that the
    digits mean; in a small file also in rows, as `od -c`, `od -x`, `hexdump -C` and `xxd` write it. What is encrypted, or cut into
    smaller pieces, is not seen.
    """
    digits = key.rpartition("-")[2]
    texts, exact = [], []
    for piece in (digits[start : start + 16] for start in range(0, len(digits), 16)):
        texts += [piece.encode(), piece[::-1].encode(), piece.encode().hex().encode()]
        exact += [bytes.fromhex(piece)]
        for before in range(3):
            written = base64.b64encode(b"\0" * before + piece.encode())
            exact.append(written[(0, 2, 3)[before] : (before + len(piece)) * 8 // 6])
    rows = [digits[start : start + 16].encode() for start in range(len(digits) - 15)]
    dumped = rows + [
        b"".join(b"%02x%02x" % (high, low) for low, high in zip(row[::2], row[1::2], strict=True)) for row in rows
    ]
    for view in views(content):
        flat = re.sub(rb"[\s\0]", b"", view)
        if len(view) <= WRITTEN and any(row in flat for row in dumped):
            return True
        if any(part in flat.lower() for part in texts) or any(part in view or part in flat for part in exact):
            return True
    return False
