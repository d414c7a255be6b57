#!/usr/bin/env bash
# Make this machine ready: system packages, a running engine, the virtual environment.
# Does what is missing and may be done, and says in one line what is left to the reader.
#
#   tools/setup.sh host             the engine, QEMU, and what builds the base image
#   tools/setup.sh host tests       and what only tests need: a browser with fonts, Java, a second OCI runtime, a peer to agree with, shellcheck, ssh
#   tools/setup.sh venv             .venv with the locked packages and boxlab itself
set -euo pipefail
unset CDPATH # or `cd` may go to a folder of that name elsewhere
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export PIP_USER=0 # with 1, pip installs nothing into an environment
unset PIP_TARGET PIP_PREFIX UV_SYSTEM_PYTHON UV_PYTHON # which send pip and uv elsewhere than into ours
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps dockerd, and a reader who is not root has no look
PYTHONS="python3.14 python3.13 python3.12 python3.11"
PLUGINS=/usr/local/lib/docker/cli-plugins
SYSTEMD=/run/systemd/system # is there where systemd is
MACHINES=/var/run/docker.sock # the engine's of this machine
ANSWER_S=${ANSWER_S:-60} # within which an engine answers that is not stuck

have() { command -v "$1" >/dev/null 2>&1; }
say() { printf 'setup: %s\n' "$*"; }
fail() { say "$1" >&2; say "  fix: $2" >&2; exit 3; }

# A virtual environment takes no colon, the commands in it nothing that a shell expands, no file of text a line break.
check_path() {
  case $PWD in
    *[[:cntrl:]:\"\$\`\\]*)
      fail "the path of this folder has a character that Python's environments cannot take (one of : \" \$ \` \\ or a line break)" \
        "move it to a path without"
      ;;
  esac
  if have iconv && ! printf %s "$PWD" | iconv -f UTF-8 -t UTF-8 >/dev/null 2>&1; then
    fail "the path of this folder is not UTF-8" "move it to a path that is"
  fi
  [ -w . ] || fail "$(id -un) may not write to this folder" "clone it as the user who is to use it"
  keeps_modes || fail "this folder is on a disk that keeps no permissions of files, such as a drive of Windows (/mnt/c)" \
    "clone it below your home folder (with WSL2, below that of Linux)"
}
keeps_modes() {
  local file kept=no
  case "$(uname -s)" in MINGW* | MSYS* | CYGWIN*) return 0 ;; esac # have no such permissions; what is missing there is said later
  file=$(mktemp .modes-XXXXXX) || return 0 # a full disk is told by what fills it
  if chmod 600 "$file" 2>/dev/null && [ ! -x "$file" ] && chmod 700 "$file" 2>/dev/null && [ -x "$file" ]; then kept=yes; fi
  rm -f "$file"
  [ "$kept" = yes ]
}

# Whether a process of that name runs; one that has ended and is not yet cleared away has no command line any more.
running() {
  local comm
  # shellcheck disable=SC2013  # these names have no spaces
  for comm in $(grep -lsx "$1" /proc/[0-9]*/comm); do
    if grep -qs . "${comm%comm}cmdline"; then return 0; fi
  done
  return 1
}

# Run a command as root: directly, by sudo with the proxies of here, or not at all.
PROXIES=http_proxy,https_proxy,no_proxy,HTTP_PROXY,HTTPS_PROXY,NO_PROXY
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif [ -n "${http_proxy:-}${https_proxy:-}${HTTP_PROXY:-}${HTTPS_PROXY:-}" ]; then
    sudo --preserve-env="$PROXIES" "$@"
  else
    sudo "$@"
  fi
}
# Whoever has the command sudo need not have the right: sudo is asked, once, and its password as well.
may_be_root() {
  if [ -z "${MAY_BE_ROOT:-}" ]; then
    MAY_BE_ROOT=no
    if [ "$(id -u)" = 0 ] || { have sudo && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; }; then MAY_BE_ROOT=yes; fi
  fi
  [ "$MAY_BE_ROOT" = yes ]
}

# Status 124 says that a command did not end in time; macOS has no `timeout`, and Busybox' knows other options.
in_time() {
  if have timeout && timeout --foreground 1 true 2>/dev/null; then
    timeout --foreground "$ANSWER_S" "$@"
  elif have perl; then # programs written in Go do not hear an alarm of their own
    perl -e 'my $s = shift; my $p = fork; if (!$p) { exec @ARGV; exit 127 } $SIG{ALRM} = sub { kill KILL => $p; exit 124 };
      alarm $s; waitpid $p, 0; exit($? & 127 ? 128 + ($? & 127) : $? >> 8)' "$ANSWER_S" "$@"
  else
    "$@"
  fi
}

engine_answer() { in_time docker version --format '{{.Server.Version}}' 2>&1; }
engine_answers() { have docker && engine_answer >/dev/null; }

# The socket of an engine of this user's own that answers, as the library finds it (client.py): nothing where the machine's may be
# used, and Podman's only where there is none of Docker's and no engine of Docker's to start.
own_socket() {
  local socket runtime=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
  if [ -w "$MACHINES" ] || ! have docker; then return; fi
  for socket in ~/.docker/run/docker.sock "$runtime/docker.sock" "$runtime/podman/podman.sock"; do
    if [ "${socket##*/}" = podman.sock ] && { [ -e "$MACHINES" ] || have dockerd; }; then continue; fi
    if [ -S "$socket" ] && [ -w "$socket" ] && DOCKER_HOST=unix://$socket engine_answers; then
      echo "$socket"
      return
    fi
  done
}

# Docker Desktop on Windows, which lends its engine and commands to those distributions of WSL that it is told to.
DESKTOP=${DESKTOP:-/mnt/c/Program Files/Docker/Docker/Docker Desktop.exe}
on_wsl_beside_desktop() { grep -qsi microsoft /proc/version && [ -e "$DESKTOP" ] && ! have dockerd; }

# An engine elsewhere (Docker Desktop, a context, DOCKER_HOST, a socket) is the reader's own: neither installed nor started by us.
engine_is_elsewhere() {
  [ -n "${DOCKER_HOST:-}${DOCKER_CONTEXT:-}" ] && return 0
  on_wsl_beside_desktop && return 0
  have docker && [ "$(docker context show 2>/dev/null || echo default)" != default ]
}

# What the parts named (host, tests, venv) lack on this machine.
missing_packages() {
  case " $* " in *" host "*) missing_for_host ;; esac
  case " $* " in *" tests "*) missing_for_tests ;; esac
  case " $* " in *" venv "*) python >/dev/null || echo python3-venv ;; esac
}

missing_for_host() {
  [ "$(uname -s)" = Linux ] || return 0 # elsewhere the engine is Docker Desktop's or the like, and QEMU runs in a container
  if ! have dockerd && ! engine_is_elsewhere && [ -z "$(own_socket)" ] && ! engine_answers; then echo docker.io; fi
  missing_plugins
  case "$(uname -m)" in
    x86_64) have qemu-system-x86_64 || echo qemu-system-x86 ;;
    *) have qemu-system-aarch64 || echo qemu-system-arm ;;
  esac
  have mmdebstrap || echo mmdebstrap debian-archive-keyring uidmap
  [ "$(id -u)" = 0 ] || have setfacl || echo acl
}

missing_for_tests() {
  have chromium || have google-chrome || have chromium-browser || echo chromium
  [ -n "$(fc-list :lang=ko 2>/dev/null)" ] || echo fontconfig fonts-nanum
  java -version >/dev/null 2>&1 || echo default-jre-headless # for what checks the markup of pages; on macOS, the command alone is none
  have shellcheck || echo shellcheck
  [ "$(uname -s)" = Linux ] || return 0
  have ip || echo iproute2
  ldconfig -p | grep 'libatomic\.so\.1' >/dev/null || echo libatomic1 # what drives the browser is linked against it
  have crun || echo crun
  have hyperfine || echo hyperfine
  have ssh || echo openssh-client
}

# Compose and buildx, which each release has under another name, or none.
missing_plugins() {
  if on_wsl_beside_desktop; then return; fi # which brings its own
  if engine_is_elsewhere && ! have docker; then return; fi
  docker buildx version >/dev/null 2>&1 || echo docker-buildx
  docker compose version >/dev/null 2>&1 || echo docker-compose
}

# The version of a package that apt would install; nothing if there is none.
candidate() { LC_ALL=C apt-cache policy "$1" | sed -n 's/^ *Candidate: *//p' | grep -v '^(none)$'; }

# The names that this release has for what is missing; without a name, nothing.
named() {
  local name
  for name; do
    case $name in
      docker.io)
        echo docker.io
        have docker || ! candidate docker-cli >/dev/null || echo docker-cli # part of docker.io in older releases
        ;;
      docker-buildx) first_of docker-buildx-plugin docker-buildx ;;
      docker-compose) first_of docker-compose-plugin docker-compose-v2 docker-compose ;;
      chromium) first_of chromium chromium-browser ;; # the second on Ubuntu, where it brings a snap
      python3-venv)
        # shellcheck disable=SC2046,SC2086
        first_of $(printf '%s-venv ' $PYTHONS)
        ;;
      *) echo "$name" ;;
    esac
  done
}
# The first of these names that can be installed.
first_of() {
  local name version
  for name; do
    version=$(candidate "$name") || continue
    case $name:$version in
      docker-*-plugin:*) docker_s_own || continue ;; # Docker's package would be in the way of the release's
      docker-compose:1.*) continue ;;                # another program
      python3.*-venv:*~rc*) continue ;;              # no release, as Ubuntu 22.04's 3.11
    esac
    echo "$name"
    return
  done
}
docker_s_own() { dpkg-query -W -f '${Status}' docker-ce-cli 2>/dev/null | grep -qx 'install ok installed'; }

install_packages() {
  local packages
  packages=$(missing_packages "$@" | tr '\n' ' ')
  [ -n "$packages" ] || return 0
  if ! have apt-get; then
    say "this is not Debian or Ubuntu; please install by hand what stands for: $packages"
    return 0
  fi
  if ! may_be_root; then
    # shellcheck disable=SC2046,SC2086  # a list of words is what is wanted
    say "neither root nor with a right to sudo; please have somebody run: apt-get install --no-install-recommends" $(named $packages)
    return 0
  fi
  as_root apt-get update -qq ||
    say "not all lists of packages could be had, and older ones are used; to see why: sudo apt-get update"
  # shellcheck disable=SC2086
  packages=$(named $packages | tr '\n' ' ')
  [ -n "$packages" ] || return 0
  say "installing $packages"
  # An upgrade in the background may hold the lock for a while. Whoever cannot do without what is missing says so.
  # shellcheck disable=SC2086
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -qq --yes --no-install-recommends $packages >/dev/null ||
    say "they could not be installed; to see why: sudo apt-get install --no-install-recommends $packages"
}

on_debian() { grep -qsx 'ID=debian' /etc/os-release; }

# Debian 12 has neither: sid's are static, and run there. The system's folder for plug-ins serves every user and terminal.
unpack_plugins() {
  local plugin missing root=$PWD/.cache/plugins
  if ! on_debian || ! have mmdebstrap; then return 0; fi
  missing=$(missing_plugins | tr '\n' ' ')
  missing=${missing% }
  if [ -z "$missing" ] || ! may_be_root; then return 0; fi
  say "putting Debian sid's $missing into $PLUGINS"
  as_root rm -rf "$root" # of one that was killed
  mkdir -p "$root"
  trap 'as_root rm -rf "$PWD/.cache/plugins"' EXIT
  if as_root mmdebstrap --quiet --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' \
    --include="${missing// /,}" sid "$root/root" 2>"$root/log"; then
    as_root mkdir -p "$PLUGINS"
    for plugin in $missing; do as_root cp "$root/root/usr/libexec/docker/cli-plugins/$plugin" "$PLUGINS"; done
  else
    tail -n 3 "$root/log"
    say "they could not be had; what needs them is left out"
  fi
  as_root rm -rf "$root"
  trap - EXIT
}

# Options that tell an engine of the OCI runtimes installed beside its own, which some measurements compare.
# A configuration that names some has chosen already, and the engine does not accept both.
other_runtimes() {
  local runtime
  if grep -qs '"runtimes"' /etc/docker/daemon.json; then return 0; fi
  for runtime in crun runsc; do
    if have "$runtime"; then printf -- '--add-runtime %s=%s ' "$runtime" "$(command -v "$runtime")"; fi
  done
}

start_engine() {
  local answer until starter='' installed_now=$1
  if ! engine_is_elsewhere && [ -n "$(own_socket)" ]; then return 0; fi
  engine_answers && return 0
  if [ $? = 124 ]; then
    say "the engine does not answer within $ANSWER_S s; restart it (Docker Desktop, or sudo systemctl restart docker), then make again"
    return 0
  fi
  answer=$(have docker && engine_answer || echo "the docker command is missing")
  if on_wsl_beside_desktop && [[ $answer != *"permission denied"* ]]; then
    say "no engine answers; start Docker Desktop, and turn on this distribution in its Settings > Resources > WSL integration"
    return 0
  fi
  if engine_is_elsewhere && ! on_wsl_beside_desktop; then
    say "the engine that you chose (a context or DOCKER_HOST) does not answer; start it"
    return 0
  fi
  if [[ $answer == *"permission denied"* ]]; then
    if [ "$installed_now" = yes ] && may_be_root && have setfacl; then
      say "you may use the engine from now on (the group docker, whose members are root on this machine)"
      # The second until the next login makes the group count.
      if as_root usermod -aG docker "$(id -un)" && as_root setfacl -m "u:$(id -un):rw" "$MACHINES" && engine_answers; then return 0; fi
    fi
    say "not allowed to use the engine; run, or have an administrator run: sudo usermod -aG docker $(id -un); then log in again, and make again"
    return 0
  fi
  if ! have docker && ! have dockerd; then
    say "Docker is not installed; have that done (the book's page Get Docker says how), then make again"
    return 0
  fi
  if ! have dockerd || ! may_be_root; then
    say "no engine answers; start Docker Desktop, or run (or have an administrator run): sudo systemctl start docker"
    return 0
  fi
  say "starting the engine"
  if [ -d "$SYSTEMD" ]; then
    as_root systemctl start docker || { say "the engine does not start; to see why: journalctl -u docker"; return 0; }
  else
    # A crash or a half-done installation leaves these behind, and the engine then refuses to start.
    running dockerd || as_root rm -f /var/run/docker.pid || true
    running containerd || as_root rm -f /var/run/docker/containerd/containerd.pid || true
    # Not by the service's script: it raises a limit first, which not every virtual machine permits.
    # It must not keep our output open, or whoever reads that through a pipe waits for ever.
    (as_root setsid sh -c "exec dockerd $(other_runtimes) >>/var/log/docker.log 2>&1") </dev/null >/dev/null 2>&1 &
    starter=$!
  fi
  until=$((SECONDS + 600))
  while [ $SECONDS -lt $until ]; do
    if engine_answers; then return 0; fi
    if [[ $(engine_answer) == *"permission denied"* ]]; then
      start_engine "$installed_now"
      return
    fi
    # sudo may end before the engine that it has started.
    if [ -n "$starter" ] && ! kill -0 "$starter" 2>/dev/null && ! running dockerd; then
      say "the engine has ended: $(tail -n 1 /var/log/docker.log 2>/dev/null); its log: /var/log/docker.log"
      return 0
    fi
    sleep 0.2
  done
  say "the engine does not come up; its log: /var/log/docker.log, or journalctl -u docker"
}

host() {
  local installed_now=no before=yes
  have dockerd || before=no
  install_packages host "$@"
  unpack_plugins
  if [ "$before" = no ] && have dockerd; then installed_now=yes; fi
  start_engine "$installed_now"
}

# The first of the Pythons that the locked packages are resolved for, and that can make a virtual environment
# (Debian keeps ensurepip in a package of its own).
python() {
  local candidate
  for candidate in python3 $PYTHONS; do
    if "$candidate" -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15) or sys.version_info[3] != "final")' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

# How to get one here.
python_fix() {
  case "$(uname -s)" in
    Darwin) echo "brew install python@3.14" ;;
    MINGW* | MSYS* | CYGWIN*) echo "winget install Python.Python.3.14" ;;
    *)
      if have apt-get; then
        echo "sudo apt-get install $(named python3-venv | grep . || echo 'python3.13-venv, which a later release has')"
      elif have dnf; then
        echo "sudo dnf install python3.14"
      else
        echo "install Python 3.14 with its module venv"
      fi
      ;;
  esac
}

# Which Python .venv is of, and where; nothing if it does not run.
identity() { .venv/bin/python -c 'import sys; print(sys.prefix, "%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

# The stamp: what is installed, for whom. It begins with the identity, and has the rest only when all is done.
wanted() { identity; cat requirements.txt pyproject.toml; }

# pip before version 24.2 and uv know the public authorities alone, and a company's stands in the system's store.
trust_as_the_system() {
  local store
  export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true}
  if [ -n "${PIP_CERT:-}" ] || .venv/bin/python -m pip config list 2>/dev/null | grep '\.cert=' >/dev/null; then return 0; fi
  for store in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    if [ -r "$store" ]; then export PIP_CERT=$store; return 0; fi
  done
}
not_installed() {
  fail "the packages could not be installed; the lines above say why" \
    "is the network there, or the proxy (https_proxy)? is the disk full? PIP_CERT may name your company's certificate authority"
}

venv() {
  local python stamp=.venv/.installed
  if wanted | cmp -s - "$stamp"; then return; fi
  if have apt-get && ! python >/dev/null && may_be_root; then install_packages venv; fi
  # One of another place or another Python, or half made, is begun anew.
  if [ -z "$(identity)" ] || [ "$(identity)" != "$(head -n 1 "$stamp" 2>/dev/null)" ]; then
    python=$(python) || fail "Python 3.11 to 3.14 with its module venv is needed; here is $(python3 --version 2>/dev/null || echo none)" "$(python_fix)"
    "$python" -m venv --clear .venv || fail "no virtual environment could be made" "$(python_fix); is the disk full? df -h ."
  fi
  identity >"$stamp"
  say "installing the locked packages into .venv"
  # uv, itself one of them, does in seconds what takes pip a minute; where it cannot be had or does not get through, pip does it.
  sed -n '/^uv==/,/[^\\]$/p' requirements.txt >.venv/uv.txt
  trust_as_the_system
  if ! .venv/bin/python -m pip install --quiet --require-hashes --requirement .venv/uv.txt 2>/dev/null ||
    ! .venv/bin/python -m uv pip install --quiet --require-hashes --requirements requirements.txt; then
    .venv/bin/python -m pip install --quiet --require-hashes --requirement requirements.txt || not_installed
  fi
  .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable . || not_installed
  wanted >"$stamp"
}

[ "${BASH_SOURCE[0]}" = "$0" ] || return 0 # a test wants its functions

case "${1:-}" in
  host)
    check_path
    host ${2:+"$2"}
    ;;
  venv)
    check_path
    venv
    ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
