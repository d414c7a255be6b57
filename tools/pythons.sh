#!/usr/bin/env bash
# A command in this checkout with another Python: that of the Debian release which has it, in a root file system of its own.
# The checkout is the same; `.venv` and `.cache` are of that Python, and lie with the root in .cache/pythons. For authors, as root.
#
#   tools/pythons.sh VERSION COMMAND...     3.11, 3.13 or 3.14; such as: tools/pythons.sh 3.14 make unit
#   tools/pythons.sh remove                 all of them
set -euo pipefail
unset CDPATH # or `cd` may go to a folder of that name elsewhere
cd "$(dirname "$0")/.."

VERSION=${1:-}
HOME_=$PWD/.cache/pythons
HERE=$HOME_/$VERSION
ROOT=$HERE/root

say() { printf 'pythons: %s\n' "$*" >&2; }
fail() { say "$1"; say "  fix: $2"; exit 3; }

case $VERSION in
  3.11) SUITE=bookworm ;;
  3.13) SUITE=trixie ;;
  3.14) SUITE=sid ;;
  remove) rm -rf "$HOME_" && exit ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
shift
[ "$(id -u)" = 0 ] || fail "only root can change the root file system" "run it by sudo"
command -v mmdebstrap >/dev/null || fail "mmdebstrap is not installed" "apt-get install mmdebstrap"

if [ ! -d "$ROOT" ]; then
  say "fetching Python $VERSION from Debian's $SUITE (half a minute)"
  rm -rf --one-file-system "$ROOT.new"
  mkdir -p "$HERE"
  unshare --mount --propagation private mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
    --include="python3,python$VERSION-venv,make,git,ca-certificates,procps,iproute2" \
    "$SUITE" "$ROOT.new" 2>"$HERE/fetch.log" || fail "it could not be had" "see $HERE/fetch.log"
  chroot "$ROOT.new" git config --system safe.directory '*' # the files' owner need not be root
  mv "$ROOT.new" "$ROOT"
fi

# The mounts are seen, and end, with this one command.
export HERE ROOT
# shellcheck disable=SC2016  # it is the inner shell's
exec unshare --mount --propagation private bash -euc '
  over() { mkdir -p "$1" "$ROOT$2"; mount --bind "$1" "$ROOT$2"; }
  mount --bind "$ROOT" "$ROOT"
  mount -t proc proc "$ROOT/proc"
  mount --rbind /sys "$ROOT/sys"
  mount --rbind /dev "$ROOT/dev"
  mount -t tmpfs tmpfs "$ROOT/tmp"
  over "$PWD" "$PWD"
  over "$(git rev-parse --path-format=absolute --git-common-dir)" "$(git rev-parse --path-format=absolute --git-common-dir)"
  for own in venv cache; do over "$HERE/$own" "$PWD/.$own"; done
  over "${UV_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/uv}" /root/.cache/uv
  cat /etc/resolv.conf >"$ROOT/etc/resolv.conf"
  cat /etc/ssl/certs/ca-certificates.crt >"$ROOT/etc/ssl/certs/ca-certificates.crt"
  exec env --unset=DOCKER_HOST --unset=UV_CACHE_DIR --unset=MAKEFLAGS HOME=/root TMPDIR=/tmp PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    chroot "$ROOT" sh -c '\''cd "$0" && exec "$@"'\'' "$PWD" "$@"
' bash "$@"
