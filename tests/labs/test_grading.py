"""What an instructor's `boxlab grade` says of folders and archives that were handed in; without an engine."""

import csv
import gzip
import io
import json
import stat
import tarfile
import zipfile

import pytest
import toy_lab
from click.testing import CliRunner

from boxlab import cli, paths
from boxlab.labs import grading, lab, report

RIGHT, WRONG = toy_lab.SOLUTION.encode(), b"HELLO\ncat number.txt\n"


def boxlab(*arguments):
    return CliRunner().invoke(cli.main, [str(each) for each in arguments])


@pytest.fixture
def place(toy, tmp_path):
    folder = tmp_path / "handed in"
    folder.mkdir()
    return folder


def lay(folder, content=RIGHT):
    folder.mkdir(parents=True)
    (folder / "answer.txt").write_bytes(content)


def pack_tar(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, tuple):
                info.type, info.linkname = content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def pack_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def graded(*arguments):
    result = boxlab("grade", *arguments, "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    for row in rows:
        report.validate(row, "grade.schema.json")
        if row["report"]:
            report.validate(row["report"])
    return {row["learner"]: row for row in rows}


def outcomes(*arguments):
    return {name: row["outcome"] for name, row in graded(*arguments).items()}


def test_folders_and_archives_of_all_kinds_are_found_and_judged(place):
    lay(place / "ann" / "01-toy")
    lay(place / "bob" / "week 3" / "work" / "01-toy", WRONG)
    (place / "eve").mkdir()
    pack_zip(place / "kim.zip", {"work/01-toy/answer.txt": RIGHT, "work/01-toy/big.bin": bytes(1 << 20)})
    pack_tar(place / "lee.tar.gz", {"./01-toy/answer.txt": RIGHT})
    pack_tar(place / "max.tar", {"01-toy/answer.txt": WRONG}, "w")
    (place / "Moodle_123_file").mkdir()
    pack_zip(place / "Moodle_123_file" / "answer.ZIP", {"01-toy\\answer.txt": RIGHT})
    (place / "notes.txt").write_text("not a learner")
    (place / "ray").symlink_to(place / "ann")
    assert outcomes(place) == {
        "Moodle_123_file": "pass",
        "ann": "pass",
        "bob": "fail",
        "eve": "missing",
        "kim.zip": "pass",
        "lee.tar.gz": "pass",
        "max.tar": "fail",
    }
    assert not any(paths.SCRATCH.iterdir())


def test_a_row_says_points_what_failed_and_who_had_the_same_files_before(place):
    lay(place / "ann" / "01-toy", WRONG)
    lay(place / "bob" / "01-toy", WRONG)
    lay(place / "kim" / "01-toy", (lab.find("01").starter / "answer.txt").read_bytes())
    lay(place / "lee" / "01-toy", (lab.find("01").starter / "answer.txt").read_bytes())
    result = boxlab("grade", place)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "ann                  01-toy        2/3   fail: says_it",
        "bob                  01-toy        2/3   fail: says_it (the same files as ann)",
        "kim                  01-toy        2/3   fail: says_it",
        "lee                  01-toy        2/3   fail: says_it",
    ]


def test_all_get_the_same_questions(place):
    for name in ("ann", "bob"):
        lay(place / name / "01-toy")
    assert len({row["report"]["seed"] for row in graded(place).values()}) == 1


def test_with_one_lab_alone_its_files_need_no_folder_of_its_name(place):
    lay(place / "ann")
    pack_zip(place / "bob.zip", {"answer.txt": RIGHT})
    pack_zip(place / "kim.zip", {"my answer/answer.txt": RIGHT})
    assert boxlab("grade", place).exit_code == 2
    assert set(outcomes(place, "--lab", "toy").values()) == {"pass"}


def test_no_cell_of_a_table_becomes_a_formula(place):
    lay(place / "=cmd()" / "01-toy", b'=HYPERLINK("x")\ncat number.txt\n')
    head, row = csv.reader(io.StringIO(boxlab("grade", place, "--csv").stdout))
    found = dict(zip(head, row, strict=True))
    assert found["learner"] == "'=cmd()" and found["points"] == "2" and found["failed"] == "says_it"
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)


def test_nothing_of_an_archive_lands_outside_and_no_link_is_followed(place, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_bytes(RIGHT)
    outside = {f"{way}/01-toy/answer.txt": b"out" for way in ("..", "a/../..", str(tmp_path))}
    pack_tar(place / "ann.tgz", {**outside, "01-toy/answer.txt": (tarfile.SYMTYPE, str(secret))})
    pack_tar(place / "bob.tgz", {"01-toy/answer.txt": (tarfile.LNKTYPE, str(secret))})
    pack_tar(place / "kim.tgz", {"01-toy": (tarfile.SYMTYPE, str(tmp_path)), "01-toy/answer.txt": RIGHT})
    pack_tar(place / "lee.tgz", {"answer.txt/answer.txt": RIGHT, "answer.txt": RIGHT, "01-toy/answer.txt": RIGHT})
    (place / "max" / "01-toy").mkdir(parents=True)
    (place / "max" / "01-toy" / "answer.txt").symlink_to(secret)
    (place / "ray").mkdir()
    (place / "ray" / "01-toy").symlink_to(lab.find("01").solution)
    found = graded(place)
    assert {name: row["outcome"] for name, row in found.items()} == {
        "ann.tgz": "missing",
        "bob.tgz": "missing",
        "kim.tgz": "pass",
        "lee.tgz": "pass",
        "max": "fail",
        "ray": "missing",
    }
    assert found["max"]["failed"] == "files"
    link = zipfile.ZipInfo("01-toy/answer.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    pack_zip(place / "sam.zip", {link: str(secret)})
    assert outcomes(place)["sam.zip"] == "missing"
    assert not (tmp_path / "01-toy").exists() and not (place / "01-toy").exists()


def test_a_script_can_be_run_where_the_archive_has_no_modes(tmp_path):
    """As one made on Windows."""
    members = {}
    for name, mode, content in (
        ("entrypoint.sh", 0, "#!/bin/sh\n"),
        ("Dockerfile", 0, "FROM base\n"),
        ("health.sh", 0o644, "#!/bin/sh\n"),
    ):
        members[made := zipfile.ZipInfo(name)] = content
        made.create_system, made.external_attr = (3, mode << 16) if mode else (0, 0x20)
    pack_zip(tmp_path / "kim.zip", members)
    into = tmp_path / "into"
    assert not grading._unpack(tmp_path / "kim.zip", into, {each.filename for each in members})
    assert {path.name: bool(path.stat().st_mode & stat.S_IXUSR) for path in into.iterdir()} == {
        "entrypoint.sh": True,
        "Dockerfile": False,
        "health.sh": False,
    }


def test_an_archive_that_is_none_or_has_no_end_is_the_learners_and_stops_nobody(place):
    lay(place / "ann" / "01-toy")
    (place / "bob.zip").write_bytes(b"PK\3\4 and no more")
    (place / "eve.tar.gz").write_bytes(gzip.compress(b"x" * 10_000)[:-20])
    (place / "kim.tgz").write_bytes(b"not packed")
    with gzip.open(place / "lee.tgz", "wb") as bomb:
        header = tarfile.TarInfo("01-toy/answer.txt")
        header.size = grading.ARCHIVE_MIB << 21
        bomb.write(header.tobuf())
        for _block in range(grading.ARCHIVE_MIB + 1):
            bomb.write(bytes(1 << 20))
    pack_zip(place / "max.zip", {f"{n}/01-toy/answer.txt": bytes(1 << 20) for n in range(grading.ARCHIVE_MIB + 1)})
    found = graded(place)
    assert found.pop("ann")["outcome"] == "pass"
    assert {row["outcome"] for row in found.values()} == {"fail"} and {row["failed"] for row in found.values()} == {
        "files"
    }
    assert len(found) == 5 and all(name in row["reason"] for name, row in found.items())
    assert all("more than 64 MiB" in found[name]["reason"] for name in ("lee.tgz", "max.zip"))


def test_what_the_machine_breaks_costs_nobody_a_point_and_is_said(place, monkeypatch):
    lay(place / "ann" / "01-toy")
    (lab.find("01").folder / "checks.py").write_text("1 / 0")
    result = boxlab("grade", place)
    assert result.exit_code == 3 and "could not be checked" in result.stdout


def test_nothing_handed_in_is_wrong_usage(place):
    result = boxlab("grade", place)
    assert result.exit_code == 2 and "nothing was handed in" in result.output and "kim/01-toy" in result.output
