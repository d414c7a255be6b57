"""What set-up chooses and says, with pretended commands: nothing is installed, no network is asked."""

import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import tempfile

import pytest

from boxlab import paths
from boxlab.waiting import HANG_S

PYTHONS = ("python3", "python3.14", "python3.13", "python3.12", "python3.11")
COPIED = ("tools/setup.sh", "requirements.txt", "pyproject.toml")

# Answers as a Python of another version would; `--clear` and packages are noted in the file $LOG.
PRETENDED_PYTHON = """#!/bin/sh
if [ "$1" = -c ]; then
  exec {python} -c 'import sys; sys.version_info = ({version}, 1, "{level}")
{ensurepip}
exec(sys.argv[2])' "$@"
fi
[ "$1" != --version ] || {{ echo Python {version}; exit; }}
echo "{name} $*" >>"$LOG"
mkdir -p .venv/bin
cat >.venv/bin/python <<'END'
#!/bin/sh
if [ "$1" = -c ]; then
  echo "$(cd "$(dirname "$0")/.." && pwd -P) {version}"
else
  [ "${{PIP_USER:-0}}$PIP_TARGET$PIP_PREFIX$UV_SYSTEM_PYTHON$UV_PYTHON" = 0 ] || exit 1
  echo "python $*" >>"$LOG"
  case "$*" in *--editable*) exit "${{INSTALL_STATUS:-0}}" ;; "-m uv"*) exit "${{UV_STATUS:-0}}" ;; esac
fi
END
chmod +x .venv/bin/python
"""


class Machine:
    """A checkout with the files that set-up reads, and the commands that it may find."""

    def __init__(self, folder, bin_):
        self.folder, self.bin, self.log = folder, bin_, bin_.parent / "log"
        bin_.mkdir()
        self.log.write_text("")
        for name in COPIED:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(paths.ROOT / name, folder / name)
        for name in PYTHONS:
            self.command(name, "exit 127")
        for name in ("apt-get", "sudo"):
            self.command(name, f'echo "{name} $*" >>"$LOG"')
        self.command("id", 'if [ "$*" = -u ]; then echo 0; else exec /usr/bin/id "$@"; fi')
        self.command("apt-cache", "exit 0")
        self.command("dpkg-query", "exit 1")

    def command(self, name, body):
        path = self.bin / name
        path.write_text(body if body.startswith("#!") else f"#!/bin/sh\n{body}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def python(self, name, version, ensurepip=True, level="final"):
        absent = "" if ensurepip else 'sys.modules["ensurepip"] = None'
        text = PRETENDED_PYTHON.format(
            python=shlex.quote(sys.executable),
            version=version.replace(".", ", "),
            name=name,
            ensurepip=absent,
            level=level,
        )
        self.command(name, text.replace(f"pwd -P) {version.replace('.', ', ')}", f"pwd -P) {version}"))

    def packages(self, **versions):
        """What apt could install: name (with _ for -) -> version."""
        known = " ".join(f"{name.replace('_', '-')}={version}" for name, version in versions.items())
        self.command(
            "apt-cache",
            f'for known in {known}; do case $known in "$2="*) echo "  Candidate: ${{known#*=}}"; exit ;; esac; done\n'
            'echo "  Candidate: (none)"',
        )

    def run(self, *arguments, **environment):
        return self._bash(["tools/setup.sh", *arguments], environment)

    def functions(self, script, **environment):
        """Run a script after the functions of set-up are known."""
        return self._bash(["-c", f"source tools/setup.sh\n{script}"], environment)

    def _bash(self, arguments, environment):
        nowhere = dict.fromkeys(("HOME", "DESKTOP", "XDG_RUNTIME_DIR"), "/nowhere")
        variables = {"PATH": f"{self.bin}:/usr/bin:/bin", "LOG": str(self.log)} | nowhere | environment
        return subprocess.run(
            ["bash", *arguments],
            cwd=self.folder,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=HANG_S,
        )

    def took(self):
        """What was called since the last time."""
        called = self.log.read_text().splitlines()
        self.log.write_text("")
        return called


@pytest.fixture
def machine(tmp_path):
    folder = tmp_path / "checkout"
    folder.mkdir()
    return Machine(folder, tmp_path / "bin")


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        ({"python3": "3.14"}, "python3"),
        ({"python3": "3.11", "python3.14": "3.14"}, "python3"),
        ({"python3": "3.9", "python3.12": "3.12", "python3.11": "3.11"}, "python3.12"),
        ({"python3": "3.15", "python3.13": "3.13"}, "python3.13"),
        ({"python3.14": "3.14"}, "python3.14"),
    ],
)
def test_the_first_python_that_fits_is_taken(machine, there, chosen):
    for name, version in there.items():
        machine.python(name, version)
    assert machine.functions("python").stdout.strip() == chosen


def test_one_that_cannot_make_an_environment_is_passed_over(machine):
    machine.python("python3", "3.13", ensurepip=False)
    machine.python("python3.12", "3.12", level="candidate")  # as Ubuntu 22.04 has Python 3.11
    machine.python("python3.11", "3.11")
    assert machine.functions("python").stdout.strip() == "python3.11"


@pytest.mark.parametrize(
    ("system", "has", "fix"),
    [
        ("Darwin", "brew", "brew install python@3.14"),
        ("MINGW64_NT-10.0", "winget", "winget install Python.Python.3.14"),
        ("Linux", "apt-get", "sudo apt-get install python3.13-venv"),
        ("Linux", "dnf", "sudo dnf install python3.14"),
        ("Linux", "pacman", "install Python 3.14 with its module venv"),
    ],
)
def test_where_no_python_fits_the_fix_is_this_systems(machine, system, has, fix):
    machine.command("uname", f"echo {system}")
    machine.packages(**{"python3.13-venv": "3.13.5-1", "python3.11-venv": "3.11.2-1"})
    machine.python("python3", "3.9")
    done = machine.functions(f"have() {{ [ $1 = {has} ]; }}; may_be_root() {{ false; }}; venv; echo went on")
    assert done.returncode == 3 and done.stdout == ""
    assert re.fullmatch(
        rf"setup: Python 3\.11 to 3\.14 .* is needed; here is Python 3, 9\nsetup:   fix: {re.escape(fix)}\n",
        done.stderr,
    )
    assert not (machine.folder / ".venv").exists()


def test_what_debian_keeps_apart_from_python_is_installed(machine):
    machine.packages(**{"python3.11-venv": "3.11.2-1"})
    machine.command(
        "apt-get",
        f'[ $1 = update ] || sed s/None/0/ "{machine.bin}/later" >"{machine.bin}/python3"; echo "apt-get $*" >>"$LOG"',
    )
    machine.python("python3", "3.11")
    (machine.bin / "python3").rename(machine.bin / "later")
    machine.python("python3", "3.11", ensurepip=False)
    done = machine.functions('as_root() { "$@"; }; may_be_root() { true; }; have() { true; }; venv')
    assert done.returncode == 0, done.stderr
    assert [call for call in machine.took() if "install -qq" in call and call.endswith(" python3.11-venv")]


def test_an_environment_is_made_once(machine):
    machine.python("python3", "3.14")
    assert machine.run("venv").returncode == 0
    assert machine.took() == [
        "python3 -m venv --clear .venv",
        "python -m pip config list",
        "python -m pip install --quiet --require-hashes --requirement .venv/uv.txt",
        "python -m uv pip install --quiet --require-hashes --requirements requirements.txt",
        "python -m pip install --quiet --no-deps --no-build-isolation --editable .",
    ]
    later = (machine.folder / "requirements.txt").stat().st_mtime + 3600
    os.utime(machine.folder / "requirements.txt", (later, later))
    assert re.fullmatch(
        r"uv==\S+ \\\n(    --hash=sha256:\S+ \\\n)+    --hash=\S+\n", (machine.folder / ".venv/uv.txt").read_text()
    )
    again = machine.run("venv")
    assert (again.returncode, again.stdout, again.stderr, machine.took()) == (0, "", "", [])


def test_other_packages_are_installed_into_the_same_environment(machine):
    machine.python("python3", "3.14")
    machine.run("venv")
    machine.took()
    (machine.folder / "requirements.txt").write_text("another==1\n")
    machine.run("venv")
    called = machine.took()
    assert any("uv pip install" in call for call in called) and not any("--clear" in call for call in called)
    machine.run("venv")
    assert machine.took() == []


def test_an_environment_that_was_moved_is_made_anew(machine, tmp_path):
    machine.python("python3", "3.14")
    machine.run("venv")
    machine.took()
    machine.folder = machine.folder.rename(tmp_path / "elsewhere")
    machine.run("venv")
    assert "python3 -m venv --clear .venv" in machine.took()


@pytest.mark.parametrize("left", ["another Python's", "a Python that is gone", "somebody else's"])
def test_an_environment_that_is_no_longer_right_is_made_anew(machine, left):
    machine.python("python3", "3.14")
    machine.run("venv")
    machine.took()
    python = machine.folder / ".venv/bin/python"
    if left == "another Python's":
        python.write_text(python.read_text().replace("3.14", "3.13"))
    elif left == "a Python that is gone":
        python.unlink()
        python.symlink_to("/gone/python3.14")
        machine.command(
            "python3", (machine.bin / "python3").read_text().replace("cat >", "rm -f .venv/bin/python; cat >")
        )
    else:
        (machine.folder / ".venv/.installed").unlink()
    assert machine.run("venv").returncode == 0
    assert "python3 -m venv --clear .venv" in machine.took()


def test_an_installation_that_broke_off_is_done_again(machine):
    machine.python("python3", "3.14")
    assert machine.run("venv", INSTALL_STATUS="1").returncode != 0
    machine.took()
    assert machine.run("venv").returncode == 0
    assert any("--editable" in call for call in machine.took())
    machine.run("venv")
    assert machine.took() == []


def test_what_cannot_be_installed_is_told_with_what_may_help(machine):
    machine.python("python3", "3.14")
    done = machine.run("venv", INSTALL_STATUS="1")
    assert done.returncode == 3 and "setup:   fix: is the network there" in done.stderr and "PIP_CERT" in done.stderr


@pytest.mark.parametrize(("says", "taken"), [("global.index='x'", True), ("global.cert='/own.pem'", False)])
def test_pip_trusts_what_the_system_trusts_unless_it_is_told_otherwise(machine, says, taken):
    (machine.folder / ".venv/bin").mkdir(parents=True)
    machine.bin = machine.folder / ".venv/bin"
    machine.command("python", f'echo "{says}"')
    done = machine.functions('trust_as_the_system; echo "${PIP_CERT:-none} $UV_SYSTEM_CERTS"')
    store = next(
        (
            name
            for name in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
            if os.path.exists(name)
        ),
        "none",
    )
    assert done.stdout == f"{store if taken else 'none'} true\n"
    own = machine.functions('trust_as_the_system; echo "$PIP_CERT"', PIP_CERT="/mine.pem")
    assert own.stdout == "/mine.pem\n"


def test_pip_installs_where_uv_does_not_get_through(machine):
    machine.python("python3", "3.14")
    assert machine.run("venv", UV_STATUS="1").returncode == 0
    assert "python -m pip install --quiet --require-hashes --requirement requirements.txt" in machine.took()


@pytest.mark.parametrize("variable", ["PIP_USER", "PIP_TARGET", "PIP_PREFIX", "UV_SYSTEM_PYTHON", "UV_PYTHON"])
def test_pip_and_uv_install_into_the_environment_whatever_they_are_told_elsewhere(machine, variable):
    machine.python("python3", "3.14")
    assert machine.run("venv", **{variable: "1"}).returncode == 0


@pytest.mark.parametrize("fails", ["update", "install"])
def test_where_apt_fails_set_up_goes_on_and_says_how_to_see_why(machine, fails):
    machine.command(
        "apt-get", f'echo "apt-get $*" >>"$LOG"; case " $* " in *" {fails} "*) echo why >&2; exit 100 ;; esac'
    )
    script = (
        'as_root() { "$@"; }; may_be_root() { true; }; missing_packages() { echo crun; }; install_packages; echo on'
    )
    done = machine.functions(script)
    assert done.returncode == 0 and done.stdout.endswith("\non\n") and done.stderr == "why\n"
    assert f"to see why: sudo apt-get {fails}" in done.stdout
    assert any(" -o DPkg::Lock::Timeout=300 " in f"{call} " and call.endswith(" crun") for call in machine.took())


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "it's",
        "100% #1",
        "a,b=c;d&e",
        "(x) [y] {z} ~ ! ? *",
        "컨테이너 é",
        "-rf",
        "@at+plus^hat|pipe<less>",
    ],
)
def test_a_path_that_works(machine, tmp_path, name):
    machine.python("python3", "3.14")
    machine.folder = machine.folder.rename(tmp_path / name)
    done = machine.run("venv")
    assert done.returncode == 0, done.stderr
    machine.took()
    assert machine.run("venv").returncode == 0 and machine.took() == []


@pytest.mark.parametrize("part", ["venv", "host"])
@pytest.mark.parametrize(
    "name", ["a:b", 'a"b', "a$HOME", "a`b", "a\\b", "a\nb", "a\tb", pytest.param(b"a\xffb", marks=pytest.mark.linux)]
)
def test_a_path_that_cannot_work_is_named_before_anything_is_done(machine, tmp_path, name, part):
    machine.python("python3", "3.14")
    machine.folder = machine.folder.rename(tmp_path / os.fsdecode(name))
    done = machine.run(part)
    assert done.returncode == 3 and done.stdout == ""
    assert re.fullmatch(r"setup: the path of this folder .*\nsetup:   fix: move it to .*\n", done.stderr)
    assert machine.took() == [] and not (machine.folder / ".venv").exists()


BOOKWORM = {"docker.io": "20.10.24+dfsg1-1", "docker_compose": "1.29.2-3"}
TRIXIE = {
    "docker.io": "26.1.5+dfsg1-9",
    "docker_cli": "26.1.5+dfsg1-9",
    "docker_buildx": "0.13.1+ds1-3",
    "docker_compose": "2.26.1-4",
}
NOBLE = {
    "docker.io": "28.2.2-0ubuntu1~24.04.1",
    "docker_buildx": "0.21.3-0ubuntu1~24.04.1",
    "docker_compose_v2": "2.37.1+ds1-0ubuntu2~24.04.1",
    "docker_compose": "1.29.2-6ubuntu1",
    "chromium_browser": "2:1snap1-0ubuntu2",
}


@pytest.mark.parametrize(
    ("release", "names"),
    [
        (BOOKWORM, ["docker.io"]),
        (TRIXIE, ["docker.io", "docker-cli", "docker-buildx", "docker-compose"]),
        (NOBLE, ["docker.io", "docker-buildx", "docker-compose-v2"]),
        ({}, ["docker.io"]),
    ],
)
def test_packages_have_the_release_s_names(machine, release, names):
    machine.packages(**release)
    done = machine.functions("have() { false; }; named docker.io docker-buildx docker-compose")
    assert done.stdout.split() == names, done.stderr


@pytest.mark.parametrize(
    ("release", "names"), [(NOBLE, ["chromium-browser"]), ({"chromium": "140.0-1"}, ["chromium"]), ({}, [])]
)
def test_the_browser_has_the_release_s_name(machine, release, names):
    machine.packages(**release)
    assert machine.functions("named chromium").stdout.split() == names


@pytest.mark.parametrize(
    ("status", "names"),
    [
        ("install ok installed", ["docker-buildx-plugin", "docker-compose-plugin"]),
        ("unknown ok not-installed", ["docker-buildx", "docker-compose-v2"]),
    ],
)
def test_docker_s_own_packages_go_with_docker_s_own(machine, status, names):
    machine.packages(**NOBLE, docker_buildx_plugin="0.30.1-1", docker_compose_plugin="2.40.3-1")
    machine.command("dpkg-query", f"echo {status}")
    assert machine.functions("named docker-buildx docker-compose").stdout.split() == names


@pytest.mark.parametrize(
    ("works", "missing"),
    [("", ["docker-buildx", "docker-compose"]), ("compose", ["docker-buildx"]), ("buildx|compose", [])],
)
def test_what_the_docker_command_lacks_is_seen(machine, works, missing):
    machine.command("docker", f"case $1 in {works or 'none'}) exit 0 ;; context) echo default ;; *) exit 1 ;; esac")
    assert machine.functions("missing_plugins").stdout.split() == missing


def test_a_docker_command_is_not_forced_on_who_has_an_engine_elsewhere(machine):
    done = machine.functions("have() { false; }; DOCKER_HOST=tcp://elsewhere missing_plugins")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("there", "says"), [("none", "Docker is not installed; have that done"), ("docker", "no engine answers; start")]
)
def test_what_is_left_to_a_user_without_rights_fits_what_is_there(machine, there, says):
    script = f'have() {{ [ "$1" = {there} ]; }}; docker() {{ false; }}; may_be_root() {{ false; }}; start_engine no'
    done = machine.functions(script)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1 and says in done.stdout


def test_on_macos_nothing_is_installed_and_set_up_ends_well(machine):
    """Also with BSD's `paste`, which wants an operand, and without what only Linux has."""
    machine.command("uname", "echo Darwin")
    machine.command("docker", "exit 0")
    for name in ("paste", "timeout", "setfacl", "ldconfig", "apt-get"):
        machine.command(name, "exit 127")
    done = machine.run("host")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_who_has_sudo_and_no_right_to_it_is_asked_once_and_told_what_is_to_be_run(machine):
    machine.command("id", "echo 1000")
    machine.command("sudo", 'echo "sudo $*" >>"$LOG"; exit 1')
    script = "missing_packages() { echo crun; }; install_packages host; may_be_root || echo still not"
    done = machine.functions(script)
    assert (
        done.stdout.endswith("--no-install-recommends crun\nstill not\n") and "please have somebody run" in done.stdout
    )
    assert machine.took() == ["sudo -n true"]


def test_proxies_reach_what_is_run_by_sudo(machine):
    machine.command("id", "echo 1000")
    machine.functions("as_root apt-get update", https_proxy="http://proxy:3128")
    machine.functions("as_root apt-get update")
    with_proxies, without = machine.took()
    assert re.fullmatch(r"sudo --preserve-env=\S*\bhttps_proxy\b\S* apt-get update", with_proxies)
    assert without == "sudo apt-get update"


def test_an_engine_that_ends_at_once_is_not_waited_for(machine):
    machine.command("docker", "case $1 in context) echo default ;; *) exit 1 ;; esac")
    script = """SYSTEMD=/nowhere; have() { true; }; running() { false; }; as_root() { true; }
      may_be_root() { true; }; start_engine no; echo on"""
    done = machine.functions(script)
    assert done.returncode == 0 and "the engine has ended" in done.stdout and done.stdout.endswith("on\n")


def test_an_engine_that_its_service_does_not_start_is_told(machine):
    machine.command("docker", "case $1 in context) echo default ;; *) exit 1 ;; esac")
    script = """SYSTEMD=/; have() { true; }; as_root() { false; }; may_be_root() { true; }
      start_engine no; echo on"""
    done = machine.functions(script)
    assert (done.returncode, done.stdout.splitlines()[-2:]) == (
        0,
        ["setup: the engine does not start; to see why: journalctl -u docker", "on"],
    )


@pytest.fixture
def own_socket(tmp_path):
    """A socket as of a rootless engine, and the variable by which it is found."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{short}/docker.sock")
        yield short


def test_an_engine_of_the_users_own_is_used_and_none_is_installed(machine, own_socket):
    machine.command(
        "docker",
        'case $1 in context) echo default ;; version) echo "$DOCKER_HOST" >>"$LOG"; [ -n "$DOCKER_HOST" ] ;; esac',
    )
    script = "MACHINES=/nowhere; have() { [ $1 != dockerd ] && command -v $1 >/dev/null; }; "
    done = machine.functions(script + "missing_for_host; start_engine no", XDG_RUNTIME_DIR=own_socket)
    assert done.returncode == 0 and "docker.io" not in done.stdout and "engine" not in done.stdout, done.stdout
    assert machine.took()[-1] == f"unix://{own_socket}/docker.sock"


def test_beside_docker_desktop_nothing_is_installed_in_wsl(machine):
    machine.command("docker", "echo The command docker could not be found in this WSL 2 distro.; exit 1")
    script = "on_wsl_beside_desktop() { true; }; missing_plugins; engine_is_elsewhere && start_engine no"
    done = machine.functions(script)
    assert done.returncode == 0
    assert re.fullmatch("setup: no engine answers; start Docker Desktop, and turn on .*\n", done.stdout)


@pytest.mark.parametrize("chmod", ["exit 1", "exit 0"])
def test_a_disk_that_keeps_no_permissions_is_named_before_anything_is_done(machine, chmod):
    machine.command("chmod", chmod)
    done = machine.run("venv")
    assert done.returncode == 3 and "clone it below your home folder" in done.stderr
    assert not list(machine.folder.glob(".modes*")) and not (machine.folder / ".venv").exists()


def test_an_engine_that_never_answers_is_not_waited_for_without_timeout_either(machine):
    machine.command("timeout", "exit 127")
    machine.command("docker", "trap '' ALRM; case $1 in version) exec sleep 1000 ;; context) echo default ;; esac")
    done = machine.functions("MACHINES=/nowhere; start_engine no", ANSWER_S="1")
    assert (done.returncode, done.stderr) == (0, "") and "does not answer within 1 s" in done.stdout


@pytest.mark.linux  # has timeout
def test_an_engine_that_never_answers_is_not_waited_for(machine):
    machine.command("docker", "case $1 in version) exec sleep 1000 ;; esac")
    done = machine.functions('as_root() { echo "$@"; }; start_engine no', ANSWER_S="0.1")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"setup: the engine does not answer within 0\.1 s; restart it .*\n", done.stdout)


def test_debian_without_current_ones_gets_static_ones(machine):
    machine.command("docker", "exit 1")
    machine.command(
        "mmdebstrap",
        'for root; do :; done; folder=$root/usr/libexec/docker/cli-plugins; mkdir -p "$folder"\n'
        'touch "$folder/docker-buildx" "$folder/docker-compose"; echo "mmdebstrap $*" >>"$LOG"',
    )
    override = 'PLUGINS=$PWD/plugins; on_debian() { true; }; may_be_root() { true; }; as_root() { "$@"; }; '
    done = machine.functions(override + "unpack_plugins")
    assert done.returncode == 0 and "into" in done.stdout, done.stderr
    assert sorted(path.name for path in (machine.folder / "plugins").iterdir()) == ["docker-buildx", "docker-compose"]
    assert "--include=docker-buildx,docker-compose sid" in machine.took()[0]


def test_where_they_cannot_be_had_set_up_goes_on_and_says_so(machine):
    machine.command("docker", "exit 1")
    machine.command("mmdebstrap", "echo no network >&2; exit 100")
    override = 'PLUGINS=$PWD/plugins; on_debian() { true; }; may_be_root() { true; }; as_root() { "$@"; }; '
    done = machine.functions(override + "unpack_plugins")
    assert done.returncode == 0 and "no network\nsetup: they could not be had" in done.stdout
    assert not (machine.folder / "plugins").exists()


def test_the_supported_pythons_are_the_same_everywhere():
    low, high = re.search(
        r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (paths.ROOT / "pyproject.toml").read_text()
    ).groups()
    script = (paths.ROOT / "tools/setup.sh").read_text()
    assert re.search(r'PYTHONS="(.*)"', script)[1].split() == [
        f"python3.{n}" for n in range(int(high) - 1, int(low) - 1, -1)
    ]
    assert f"(3, {low}) <= sys.version_info < (3, {high})" in script
    for page in ("README.md", "book/index.md"):
        assert f"Python 3.{low} to 3.{int(high) - 1}" in (paths.ROOT / page).read_text()


@pytest.mark.parametrize(
    ("status", "broken", "stays"),
    [(0, 0, set()), (3, 0, {"names"}), (130, 0, {"names", "kernels", ".used"}), (3, 1, {"names"})],
)
def test_make_clean_goes_on_without_an_engine_and_keeps_the_names_of_what_is_on_it(tmp_path, status, broken, stays):
    """Also without an environment that runs, as after an upgrade of Python."""
    shutil.copy(paths.ROOT / "Makefile", tmp_path)
    boxlab = tmp_path / ".venv" / "bin" / "boxlab"
    for folder in (boxlab.parent, tmp_path / ".cache" / "names", tmp_path / ".cache" / "kernels", tmp_path / "_build"):
        folder.mkdir(parents=True)
    (tmp_path / ".cache" / ".used").touch()
    boxlab.write_text(f"#!/bin/sh\nexit {status}\n")
    boxlab.chmod(0o755)
    python = boxlab.with_name("python")
    python.write_text(f"#!/bin/sh\nexit {broken}\n")
    python.chmod(0o755)
    made = subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, text=True)
    assert (made.returncode != 0) == (status != 0) and (not status or f"Error {status}" in made.stderr)
    assert not (tmp_path / "_build").exists()
    assert {path.name for path in tmp_path.glob(".cache/*")} == stays
