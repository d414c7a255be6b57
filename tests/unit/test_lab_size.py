"""What lab 08 finds of a key, however it is written, and of an index, whatever it is called."""

import base64
import bz2
import gzip
import importlib.util
import io
import lzma
import math
import os
import pickle
import random
import sys
import tarfile
import zipfile
import zlib

import command
import pytest

from boxlab import paths
from boxlab.labs import traces

_spec = importlib.util.spec_from_file_location("lab_08", paths.LABS / "08-size" / "checks.py")
lab_08 = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lab_08)

DIGITS = "0f1e2d3c4b5a69788796a5b4c3d2e1f00123456789abcdef02468ace13579bdf"
KEY = f"key-{DIGITS}"
OTHER = "key-" + "".join("f" if place % 8 == 0 else digit for place, digit in enumerate(DIGITS))
"""Much like it: only each eighth digit is another."""


def tarred(content: bytes) -> bytes:
    with io.BytesIO() as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo("license.key")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
        archive.close()
        return file.getvalue()


def zipped(content: bytes) -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("license.key", content)
        return file.getvalue()


def wrapped(content: bytes) -> bytes:
    return base64.encodebytes(content).replace(b"\n", b"\r\n  ")


def rows(key: bytes, letters) -> bytes:
    """As programs that dump a file write it: an offset, and sixteen bytes."""
    starts = range(0, len(key), 16)
    return b"".join(b"%07o %s\n" % (start, letters(key[start : start + 16])) for start in starts)


FORMS = {
    "od -c": lambda key: rows(key, lambda row: b"".join(b"   %c" % letter for letter in row)),
    "od -x": lambda key: rows(
        key, lambda row: b" ".join(row[at : at + 2][::-1].hex().encode() for at in range(0, 16, 2))
    ),
    "od": lambda key: rows(
        key, lambda row: b" ".join(b"%06o" % int.from_bytes(row[at : at + 2], "little") for at in range(0, 16, 2))
    ),
    "od -b": lambda key: rows(key, lambda row: b" ".join(b"%03o" % letter for letter in row)),
    "od -t u1": lambda key: rows(key, lambda row: b" ".join(b"%3d" % letter for letter in row)),
    "a list of numbers": lambda key: str(list(key)).encode(),
    "of a web page": lambda key: b"".join(b"&#%d;" % letter for letter in key),
    "of an address": lambda key: b"".join(b"%%%02x" % letter for letter in key),
    "of a string": lambda key: b"".join(b"\\x%02x" % letter for letter in key),
    "xxd": lambda key: rows(key, lambda row: row.hex(" ", 2).encode() + b"  " + row),
    "as it is": bytes,
    "in a text": lambda key: b"licensed with " + key + b"\n",
    "without its first letters": lambda key: key[4:],
    "its first half": lambda key: key[: len(key) // 2],
    "its last half": lambda key: key[len(key) // 2 :],
    "capitals": bytes.upper,
    "backwards": lambda key: key[::-1],
    "a letter a line": lambda key: b"\n".join(key[i : i + 1] for i in range(len(key))),
    "UTF-16": lambda key: key.decode().encode("utf-16"),
    "UTF-16, big-endian": lambda key: key.decode().encode("utf-16-be"),
    "UTF-32": lambda key: key.decode().encode("utf-32"),
    "what its digits mean": lambda key: bytes.fromhex(key[4:].decode()),
    "hexadecimal": lambda key: key.hex().encode(),
    "hexadecimal capitals": lambda key: key.hex(" ", 2).upper().encode(),
    "base32": base64.b32encode,
    "base64": base64.b64encode,
    "base64, wrapped": wrapped,
    "base64, after a letter": lambda key: b"say " + base64.b64encode(b"x" + key),
    "base64, after two": lambda key: b"say " + base64.b64encode(b"xy" + key),
    "base64 for addresses, unpadded": lambda key: base64.urlsafe_b64encode(gzip.compress(key)).rstrip(b"="),
    "base64 of UTF-16": lambda key: base64.b64encode(key.decode().encode("utf-16")),
    "base64, twice": lambda key: base64.b64encode(base64.b64encode(key)),
    "base85": base64.b85encode,
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda key: lzma.compress(key, lzma.FORMAT_ALONE),
    "tar and gzip": tarred,
    "zip": zipped,
    "gzip in a script": lambda key: b"echo " + base64.b64encode(gzip.compress(key)) + b" | base64 -d | gunzip\n",
    "tar in tar": lambda key: tarred(tarred(key)),
    "pickle": lambda key: pickle.dumps({"key": key.decode()}),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_key_is_found_however_it_is_written(form):
    assert traces.shows(FORMS[form](f"{KEY}\n".encode() if form == "in a text" else KEY.encode()), KEY)


@pytest.mark.parametrize("form", FORMS)
def test_another_is_not_taken_for_it(form):
    assert not traces.shows(FORMS[form](OTHER.encode()), KEY)


@pytest.mark.parametrize("start", [*traces.PACKERS, b"PK\3\4", bytes(257) + b"ustar"])
def test_what_only_begins_like_an_archive_is_none(start):
    assert not traces.shows(start + b"no archive at all", KEY)


def test_an_index_that_lacks_a_speech_does_not_slip_through(tmp_path):
    lab_08.plant(tmp_path, random.Random(0))
    speeches = [set(path.read_text().split()) for path in sorted((tmp_path / "speeches").iterdir())]
    known = set().union(*speeches)
    for speech in speeches:
        right = len(known - speech)
        assert math.comb(right, lab_08.WORDS) / math.comb(len(known), lab_08.WORDS) < 1e-8


@pytest.mark.linux  # reads /proc
def test_a_process_that_ends_while_users_are_read_is_none():
    seen = f"import os; os.listdir = lambda _: ['{os.getpid()}', '{10**9}']\n"
    assert len(command.run(sys.executable, "-c", seen + lab_08.USERS).stdout.split()) == 4


class Work:
    """A folder with speeches."""

    def __init__(self, folder):
        self.folder, self.random = folder, random.Random(2)
        (folder / "speeches").mkdir()
        lab_08.speak(folder, random.Random(1))

    def build(self):
        pass


def test_the_words_are_those_of_which_the_image_is_built(tmp_path):
    work = Work(tmp_path)
    before = lab_08.texts(work)
    lab_08.image(work)
    assert before == lab_08.texts.__wrapped__(work)
