#!/usr/bin/env bash
# Make this machine ready: system packages, a running engine, the virtual environment.
# Does what is missing and may be done, and says in one line what is left to the reader.
#
#   tools/setup.sh host             the engine, QEMU, and what builds the base image
#   tools/setup.sh host tests       and what only tests need: a browser with fonts, a second OCI runtime, a peer to agree with
#   tools/setup.sh venv             .venv with the locked packages and boxlab itself
set -euo pipefail
cd "$(dirname "$0")/.."

PATH=$PATH:/usr/sbin:/sbin # where Debian keeps dockerd, and a reader who is not root has no look

have() { command -v "$1" >/dev/null 2>&1; }
say() { printf 'setup: %s\n' "$*"; }


# Whether a process of that name runs; one that has ended and is not yet cleared away has no command line any more.
running() {
  local comm
  for comm in $(grep -lsx "$1" /proc/[0-9]*/comm); do
    if grep -qs . "${comm%comm}cmdline"; then return 0; fi
  done
  return 1
}

# Run a command as root: directly, by sudo, or not at all.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}
may_be_root() { [ "$(id -u)" = 0 ] || { have sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }; }

engine_answer() { docker version --format '{{.Server.Version}}' 2>&1; }
engine_answers() { have docker && engine_answer >/dev/null; }

# An engine elsewhere (Docker Desktop, a context, DOCKER_HOST) is the reader's own: neither installed nor started by us.
engine_is_elsewhere() {
  [ -n "${DOCKER_HOST:-}${DOCKER_CONTEXT:-}" ] && return 0
  have docker && [ "$(docker context show 2>/dev/null || echo default)" != default ]
}

# What the parts named (host, tests, venv) lack on this machine.
missing_packages() {
  case " $* " in *" host "*) missing_for_host ;; esac
  case " $* " in *" tests "*) missing_for_tests ;; esac
  # Debian keeps ensurepip, without which no virtual environment can be made, in a package of its own.
  case " $* " in *" venv "*) python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv ;; esac
}

missing_for_host() {
  [ "$(uname -s)" = Linux ] || return 0 # elsewhere the engine is Docker Desktop's or the like, and QEMU runs in a container
  engine_answers || engine_is_elsewhere || have dockerd || echo docker.io
  case "$(uname -m)" in
    x86_64) have qemu-system-x86_64 || echo qemu-system-x86 ;;
    *) have qemu-system-aarch64 || echo qemu-system-arm ;;
  esac
  have mmdebstrap || echo mmdebstrap debian-archive-keyring uidmap
  [ "$(id -u)" = 0 ] || have setfacl || echo acl
}

missing_for_tests() {
  have chromium || have google-chrome || have chromium-browser || echo chromium
  fc-list :lang=ko 2>/dev/null | grep -q . || echo fontconfig fonts-nanum
  have ip || echo iproute2
  [ "$(uname -s)" = Linux ] || return 0
  ldconfig -p | grep 'libatomic\.so\.1' >/dev/null || echo libatomic1 # what drives the browser is linked against it
  have crun || echo crun
  have hyperfine || echo hyperfine
}

install_packages() {
  local packages
  packages=$(missing_packages "$@" | tr '\n' ' ')
  [ -n "$packages" ] || return 0
  if ! have apt-get; then
    say "this is not Debian or Ubuntu; please install by hand what stands for: $packages"
    return 0
  fi
  if ! may_be_root; then
    say "not root and no sudo; please have somebody run: apt-get install --no-install-recommends $packages"
    return 0
  fi
  say "installing $packages"
  as_root apt-get update -qq
  # shellcheck disable=SC2086  # a list of words is what is wanted
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $packages >/dev/null
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
  local answer installed_now=$1
  engine_answers && return 0
  if engine_is_elsewhere; then
    say "the engine that you chose (a context or DOCKER_HOST) does not answer; start it"
    return 0
  fi
  answer=$(have docker && engine_answer || echo "the docker command is missing")
  if [[ $answer == *"permission denied"* ]]; then
    if [ "$installed_now" = yes ] && may_be_root && have setfacl; then
      say "you may use the engine from now on (the group docker, whose members are root on this machine)"
      as_root usermod -aG docker "$(id -un)"
      as_root setfacl -m "u:$(id -un):rw" /var/run/docker.sock # until the next login makes the group count
      engine_answers && return 0
    fi
    say "not allowed to use the engine; run: sudo usermod -aG docker $(id -un) && newgrp docker, then make again"
    return 0
  fi
  if ! have dockerd || ! may_be_root; then
    say "no engine answers; start Docker Desktop, or run: sudo systemctl start docker"
    return 0
  fi
  say "starting the engine"
  if [ -d /run/systemd/system ]; then
    as_root systemctl start docker
  else
    # A crash or a half-done installation leaves these behind, and the engine then refuses to start.
    running dockerd || as_root rm -f /var/run/docker.pid
    running containerd || as_root rm -f /var/run/docker/containerd/containerd.pid
    # Not by the service's script: it raises a limit first, which not every virtual machine permits.
    # It must not keep our output open, or whoever reads that through a pipe waits for ever.
    (as_root setsid sh -c "exec dockerd $(other_runtimes) >>/var/log/docker.log 2>&1") </dev/null >/dev/null 2>&1 &
  fi
  for _ in $(seq 300); do
    if engine_answers; then return 0; fi
    if [[ $(engine_answer) == *"permission denied"* ]]; then
      start_engine "$installed_now"
      return
    fi
    sleep 0.2
  done
  say "the engine does not come up; its log: /var/log/docker.log, or journalctl -u docker"
}

host() {
  local installed_now=no before=yes
  have dockerd || before=no
  install_packages host "$@"
  if [ "$before" = no ] && have dockerd; then installed_now=yes; fi
  start_engine "$installed_now"
}

# The first of the Pythons that the locked packages are resolved for.
python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11; do
    if have "$candidate" && "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  say "Python 3.11, 3.12 or 3.13 is needed; found: $(python3 --version 2>&1)" >&2
  exit 3
}

venv() {
  local uv=
  install_packages venv
  [ -x .venv/bin/python ] || "$(python)" -m venv .venv
  say "installing the locked packages into .venv"
  # uv does in seconds what takes pip a minute; where it cannot be had or does not get through, pip does it.
  if have uv; then uv=uv; elif .venv/bin/pip install --quiet uv 2>/dev/null; then uv=.venv/bin/uv; fi
  if [ -z "$uv" ] || ! VIRTUAL_ENV="$PWD/.venv" "$uv" pip install --quiet --requirements requirements.txt; then
    .venv/bin/pip install --quiet --requirement requirements.txt
  fi
  .venv/bin/pip install --quiet --no-deps --editable .
}

case "${1:-}" in
  host) host ${2:+"$2"} ;;
  venv) venv ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
