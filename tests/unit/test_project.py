"""Rules of the repository itself."""

import ast
import os
import re

import command
import nbformat
import pytest
import yaml

from boxlab import __version__, paths

REACHING = {}
"""What a lab still imports beyond what it should: its checks `boxlab.labs` alone, what learners read and write nothing."""


@pytest.fixture(scope="module")
def files():
    listing = command.run("git", "ls-files", "-z", cwd=paths.ROOT)
    found = [paths.ROOT / name for name in listing.stdout.split("\0") if name]
    assert found
    return [path for path in found if path.is_file()]


def test_no_file_holds_the_address_of_a_package_registry(files):
    hosts = re.compile(
        r"https?://[^\s/]*("
        + "|".join(["py" + "pi", "python" + "hosted", "npm" + "js", "deb" + r"\.debian", "registry-1" + r"\.docker"])
        + ")"
    )
    for path in files:
        assert not hosts.search(path.read_text(errors="ignore")), path


def test_every_requirement_is_pinned_with_its_hashes():
    requirements = (paths.ROOT / "requirements.txt").read_text().replace("\\\n", "").splitlines()
    assert requirements
    assert all(
        re.fullmatch(r"[\w.-]+==\S+ (; \S.*?\S )?( +--hash=sha256:[0-9a-f]{64})+", line) for line in requirements
    )


def test_every_text_has_the_line_ends_of_linux_wherever_it_is_cloned():
    listing = command.run("git", "ls-files", "--eol", "-z", cwd=paths.ROOT).stdout
    lines = [line.split("\t") for line in listing.split("\0") if line]
    assert lines
    for ends, name in lines:
        assert "attr/text=auto eol=lf" in ends and "crlf" not in ends and "mixed" not in ends, name


def imported(path):
    """The modules of ours that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "boxlab":
            found |= {f"boxlab.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return {name for name in found if name.split(".")[0] == "boxlab"}


def test_checks_of_labs_import_the_library_of_labs_alone_and_what_learners_have_imports_none(files):
    reaching = {}
    for path in files:
        if path.suffix == ".py" and path.is_relative_to(paths.ROOT / "labs"):
            imports = imported(path)
            if path.name == "checks.py":
                assert "boxlab.labs" in imports, path
                imports = {name for name in imports if name.split(".")[:2] != ["boxlab", "labs"]}
            if imports:
                reaching[str(path.relative_to(paths.ROOT))] = imports
    assert reaching == REACHING


def test_what_mounts_a_root_file_system_has_mounts_that_end_with_it():
    """Killed, mmdebstrap leaves /proc, /sys and more mounted where the next run would begin with `rm -rf`."""
    scripts = {path: path.read_text() for path in (paths.ROOT / "tools").glob("*.sh")}
    fetching = {
        path.name: re.findall(r"^.*mmdebstrap --quiet.*$", text, re.MULTILINE) for path, text in scripts.items()
    }
    calls = [(name, line.strip()) for name, lines in fetching.items() for line in lines]
    assert {name for name, _ in calls} == {"engine.sh", "machines.sh", "pythons.sh", "setup.sh"}
    for name, line in calls:
        assert line.startswith(("unshare --mount --propagation private ", "apart ")) or "--variant=extract" in line, (
            name,
            line,
        )
    apart = re.search(r"^apart\(\) \{.*?^\}", scripts[paths.ROOT / "tools" / "machines.sh"], re.MULTILINE | re.DOTALL)[
        0
    ]
    assert apart.count("unshare --mount --propagation private ") == 2


@pytest.mark.parametrize(
    "path", [*sorted(paths.ROOT.glob("tools/*.sh")), paths.ROOT / ".ci/run"], ids=lambda path: path.name
)
def test_a_script_goes_to_its_own_folder_whatever_cdpath_says(path, tmp_path):
    """Its first lines do, up to the folder."""
    head = re.match(r""".*?^cd "\$\(dirname .*?\)/\.\.\"""", path.read_text(), re.MULTILINE | re.DOTALL)[0]
    script = path.relative_to(paths.ROOT)
    for folder in ("checkout", "elsewhere"):
        (tmp_path / folder / script.parent).mkdir(parents=True)
    (tmp_path / "checkout" / script).write_text(f"{head}\npwd\n")
    environment = os.environ | {"CDPATH": str(tmp_path / "elsewhere")}
    ran = command.run("bash", script, cwd=tmp_path / "checkout", env=environment)
    assert (ran.stdout, ran.stderr) == (f"{tmp_path}/checkout\n", "")


def test_hooks_before_a_commit_are_the_parts_of_make_check():
    parts = re.search(r"^CHECKS := (.*)$", (paths.ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    (local,) = yaml.safe_load((paths.ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert parts and [hook["entry"] for hook in local["hooks"]] == [f"make check ONLY={part}" for part in parts]


def test_the_newest_changes_and_the_citation_are_of_this_version():
    newest = re.search(r"^## \[(\d.*?)\]", (paths.ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    citation = yaml.safe_load((paths.ROOT / "CITATION.cff").read_text())
    assert newest == citation["version"] == __version__
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_what_a_notebook_writes_lies_where_clean_finds_it():
    notebooks = [*paths.ROOT.glob("notebooks/*.ipynb")]
    sources = {path.name: "\n".join(cell.source for cell in nbformat.read(path, 4).cells) for path in notebooks}
    assert len(sources) >= 15
    assert not [name for name, source in sources.items() if "tempfile." in source]
    assert len([name for name, source in sources.items() if "marks.workplace()" in source]) >= 10
