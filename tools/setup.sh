#!/usr/bin/env bash
# Make this machine ready: system packages, a running engine, the virtual environment.
# Does what is missing and may be done, and says in one line what is left to the reader.
#
#   tools/setup.sh host             the engine, QEMU, and what builds the base image
#   tools/setup.sh host browser     and a browser with fonts, for the tests
#   tools/setup.sh venv             .venv with the locked packages and boxlab itself
set -euo pipefail
cd "$(dirname "$0")/.."

PATH=$PATH:/usr/sbin:/sbin # where Debian keeps dockerd, and a reader who is not root has no look

have() { command -v "$1" >/dev/null 2>&1; }
say() { printf 'setup: %s\n' "$*"; }

running() { grep -qsx "$1" /proc/[0-9]*/comm; }

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

# What the parts named (host, browser, venv) lack on this machine.
missing_packages() {
  case " $* " in *" host "*) missing_for_host ;; esac
  case " $* " in *" browser "*) missing_for_browser ;; esac
  # Debian keeps ensurepip, without which no virtual environment can be made, in a package of its own.
  case " $* " in *" venv "*) python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv ;; esac
}

missing_for_host() {
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
