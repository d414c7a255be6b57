#!/usr/bin/env bash
# A current Docker Engine beside the machine's own: Debian sid's, set as version 29 is, in a root file system of its own.
# It listens on a socket in this folder alone; what it keeps lies in .cache/engine. For authors and tests, as root on Debian.
#
#   tools/engine.sh start                   make it (half a minute, once) and start it, unless it runs
#   tools/engine.sh run COMMAND...          run a command in its network, with its docker command, Compose and buildx before the others
#   tools/engine.sh env                     print what `eval` needs for the same
#   tools/engine.sh stop                    end it and all that it runs; images and caches stay
#   tools/engine.sh remove                  and remove all of it
#
# STORE=containerd (the default, as version 29 has it) or STORE=overlay2 says how it keeps images: two engines, side by side.
set -euo pipefail
unset CDPATH # or `cd` may go to a folder of that name elsewhere
cd "$(dirname "$0")/.."

STORE=${STORE:-containerd}
CHECKOUT=$PWD
HOME_=$CHECKOUT/.cache/engine
ROOT=$HOME_/root
HERE=$HOME_/$STORE # what this engine keeps, its socket, its log
SOCKET=$HERE/run/docker.sock
LEAST=28 # sid moves; with less there is no point in starting it

# What is the whole machine's (a network namespace, the way out of it, control groups) is named by checkout and store.
OWNER=$(printf '%s %s' "$PWD" "$STORE" | sha256sum | cut -c 1-8)
NETWORK=cm-$OWNER
GROUP=docker-$OWNER

say() { printf 'engine: %s\n' "$*" >&2; }
fail() { say "$1"; say "  fix: $2"; exit 3; }

require() {
  case $STORE in containerd | overlay2) ;; *) fail "STORE=$STORE is none" "STORE=containerd or STORE=overlay2" ;; esac
  [ "$(id -u)" = 0 ] || fail "only root can start a second engine" "run it by sudo, or use the engine that this machine has"
  [ "$(uname -s)" = Linux ] || fail "a second engine is for Linux" "use the engine that this machine has"
  [ ${#SOCKET} -lt 108 ] || fail "the path of its socket is too long for the kernel: $SOCKET" "clone into a shorter path"
}

answers() { DOCKER_HOST=unix://$SOCKET "$ROOT/usr/bin/docker" version --format '{{.Server.Version}}' 2>/dev/null; }

# Debian's packages, fetched once: sid moves on, and its mirror may serve lists that are past their date.
fetch() {
  local version
  if [ ! -x "$ROOT/usr/bin/docker" ]; then
    command -v mmdebstrap >/dev/null || fail "mmdebstrap is not installed" "apt-get install mmdebstrap"
    say "fetching the packages of Debian sid (half a minute)"
    rm -rf --one-file-system "$ROOT.new"
    mkdir -p "$HOME_"
    unshare --mount --propagation private mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
      --include=docker.io,docker-cli,docker-buildx,docker-compose,crun,iptables,procps,ca-certificates \
      sid "$ROOT.new" 2>"$HOME_/fetch.log" || fail "the packages of Debian sid could not be had" "see $HOME_/fetch.log"
    mv "$ROOT.new" "$ROOT"
  fi
  version=$(chroot "$ROOT" dockerd --version | grep -oE '[0-9]+' | head -n 1)
  [ "$version" -ge "$LEAST" ] || fail "the engine of Debian sid is version $version, and $LEAST is needed" "tools/engine.sh remove, then again"
}

# A network of its own, with a way out: two engines in one network would rewrite each other's packet filter.
# Ports that its containers publish are at localhost there, where `run` runs its command, and at 10.254.N.2 from outside.
connect() {
  local number used out
  used=$(ip -4 -oneline address)
  for number in $(seq 200 254) none; do [[ $used == *"10.254.$number."* ]] || break; done
  [ "$number" != none ] || fail "no network is free for it" "tools/engine.sh stop, where others run"
  out=$(ip -4 route show default | grep -oE 'dev [^ ]+' | cut -d ' ' -f 2 | head -n 1)
  MTU=$(cat "/sys/class/net/${out:-lo}/mtu")
  if [ "$MTU" -gt 1500 ]; then MTU=1500; fi
  ip netns add "$NETWORK"
  ip link add "$NETWORK" mtu "$MTU" type veth peer name eth0 mtu "$MTU" netns "$NETWORK"
  ip address add "10.254.$number.1/24" dev "$NETWORK"
  ip link set "$NETWORK" up
  ip -netns "$NETWORK" address add "10.254.$number.2/24" dev eth0
  ip -netns "$NETWORK" link set lo up
  ip -netns "$NETWORK" link set eth0 up
  ip -netns "$NETWORK" route add default via "10.254.$number.1"
  echo 1 >/proc/sys/net/ipv4/ip_forward # as every engine does
  filter -I
  iptables -t nat -I POSTROUTING -s "10.254.$number.0/24" -m comment --comment "$NETWORK" -j MASQUERADE
}
filter() {
  iptables "$1" FORWARD -i "$NETWORK" -m comment --comment "$NETWORK" -j ACCEPT
  iptables "$1" FORWARD -o "$NETWORK" -m comment --comment "$NETWORK" -j ACCEPT
}

disconnect() {
  local rule
  ip netns pids "$NETWORK" >/dev/null 2>&1 || return 0
  ip link delete "$NETWORK" 2>/dev/null || true
  ip netns delete "$NETWORK"
  while filter -D 2>/dev/null; do :; done
  iptables -t nat -S POSTROUTING | grep -- "--comment $NETWORK" | sed 's/^-A/-D/' | while read -r rule; do
    # shellcheck disable=SC2086  # the rule's words
    iptables -t nat $rule
  done
}

start() {
  require
  fetch
  if answers >/dev/null; then return; fi
  stop
  mkdir -p "$HERE"/{run,docker,containerd}
  connect
  # It must not keep our output open, nor hear the Ctrl-C that is meant for the command beside it.
  MTU=$MTU setsid nsenter --net="/run/netns/$NETWORK" unshare --mount --propagation private "$0" inside </dev/null >>"$HERE/log" 2>&1 &
  for _ in $(seq 300); do
    if answers >/dev/null; then
      say "version $(answers), $STORE, at unix://$SOCKET"
      return
    fi
    kill -0 $! 2>/dev/null || break
    sleep 0.2
  done
  stop
  fail "it does not come up" "its log says why: $HERE/log"
}

# Within the mount namespace: make its root file system the root, and become its processes.
inside() {
  echo $$ >"$HERE/run/pid"
  mkdir -p "$ROOT"/{old,sock,var/lib/docker,var/lib/containerd}
  mount --bind "$ROOT" "$ROOT"
  mount -t proc proc "$ROOT/proc"
  mount --rbind /sys "$ROOT/sys"
  mount --rbind /dev "$ROOT/dev"
  mount -t tmpfs "$NETWORK" "$ROOT/run" # by this name its processes are known: the kernel gives numbers anew, of namespaces too
  mount -t tmpfs tmpfs "$ROOT/tmp"
  mount --bind "$HERE/run" "$ROOT/sock"
  mount --bind "$HERE/docker" "$ROOT/var/lib/docker"
  mount --bind "$HERE/containerd" "$ROOT/var/lib/containerd"
  mkdir -p "$ROOT$CHECKOUT"
  mount --bind "$CHECKOUT" "$ROOT$CHECKOUT" # its folders can be mounted into containers
  # A name server on this machine's own loopback cannot be reached from another network: systemd keeps the real ones.
  cat "$(grep -q '^nameserver 127\.' /etc/resolv.conf && echo /run/systemd/resolve/resolv.conf || echo /etc/resolv.conf)" >"$ROOT/etc/resolv.conf"
  cat /etc/ssl/certs/ca-certificates.crt >"$ROOT/etc/ssl/certs/ca-certificates.crt"
  cd "$ROOT"
  pivot_root . old
  exec chroot . /bin/bash -s <<END
umount --lazy /old
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
containerd & containerd=\$!
until [ -S /run/containerd/containerd.sock ]; do kill -0 \$containerd || exit; sleep 0.05; done
options=(--host unix:///sock/docker.sock --containerd /run/containerd/containerd.sock --mtu $MTU --shutdown-timeout 2
  --cgroup-parent /$GROUP --add-runtime crun=/usr/bin/crun)
[ $STORE = containerd ] && options+=(--feature containerd-snapshotter=true) || options+=(--storage-driver overlay2)
DOCKER_MIN_API_VERSION=1.44 dockerd "\${options[@]}" & dockerd=\$!
trap 'kill \$dockerd; wait \$dockerd; kill \$containerd; wait; exit' TERM
wait \$dockerd
kill \$containerd
wait
END
}

# Process ids of the engine, which see the mount of its name, and of those in the control groups of its containers.
members() {
  local group
  grep -slF -- "- tmpfs $NETWORK " /proc/[0-9]*/mountinfo | cut -d / -f 3 || true
  for group in $(groups); do find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null || true; done
}
groups() { find /sys/fs/cgroup -maxdepth 2 -name "$GROUP" 2>/dev/null; }

stop() {
  local leader left group
  leader=$(cat "$HERE/run/pid" 2>/dev/null || true)
  if [ -n "$leader" ] && [[ " $(members | tr "\n" " ") " == *" $leader "* ]]; then
    kill -TERM "$leader"
    timeout 20 tail --pid="$leader" -f /dev/null || say "it did not end when told to: killing it"
  fi
  for _ in $(seq 100); do
    left=$(members | sort -u) || true
    [ -n "$left" ] || break
    # shellcheck disable=SC2086  # a list of numbers is what is wanted
    kill -KILL $left 2>/dev/null || true
    sleep 0.1
  done
  for group in $(groups); do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true; done
  disconnect
  rm -rf "$HERE/run"
}

# The static commands of that release run on this one as they are; plug-ins are found through a configuration of their own.
environment() {
  local config=$HOME_/config bin=$HOME_/bin plugin
  mkdir -p "$config/cli-plugins" "$bin"
  for plugin in buildx compose; do ln -sfn "$ROOT/usr/libexec/docker/cli-plugins/docker-$plugin" "$config/cli-plugins/"; done
  ln -sfn "$ROOT/usr/bin/docker" "$bin/docker"
  # shellcheck disable=SC2016  # it is the reader's shell's
  printf 'export DOCKER_HOST=unix://%q DOCKER_CONFIG=%q PATH=%q:"$PATH"\nunset DOCKER_CONTEXT DOCKER_BUILDKIT DOCKER_API_VERSION\n' \
    "$SOCKET" "$config" "$bin"
}

case "${1:-}" in
  start | stop) require; "$1" ;;
  inside) inside ;;
  env) environment ;;
  run)
    shift
    start
    eval "$(environment)"
    exec nsenter --net="/run/netns/$NETWORK" "$@"
    ;;
  remove)
    require
    for STORE in containerd overlay2; do STORE=$STORE "$0" stop; done
    rm -rf "$HOME_"
    ;;
  *) sed -n '2,12s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
