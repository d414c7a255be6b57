#!/usr/bin/env bash
# A reader's whole machine, as a guest that one can log in to: systemd, control groups, an engine and a Python as readers
# have them, this checkout with its environment. tests/machines/machines.yml says which there are and what is tried on them;
# those without a guest are this machine, with a checkout of their own.
# For authors, as root on Debian; all of it lies in .cache/machines.
#
#   tools/machines.sh                       the machines that there are
#   tools/machines.sh NAME start            make it (minutes, once), and boot it unless it runs
#   tools/machines.sh NAME run COMMAND      boot it, and run a shell command there, in this commit's checkout
#   tools/machines.sh NAME try [WHAT...]    boot it, try on it what the table says, and write tests/machines/results/NAME.json;
#                                           or only some of that, and write nothing; or `left`, what has not held yet
#   tools/machines.sh NAME stop             shut it down; its disk stays
#   tools/machines.sh NAME remove           and remove all of it, so that the next is of the packages of that day
set -euo pipefail
unset CDPATH # or `cd` may go to a folder of that name elsewhere
cd "$(dirname "$0")/.."

TABLE=tests/machines/machine.py

# SUITE, PACKAGES and the rest, as the table has them.
describe() {
  local row
  row=$(.venv/bin/python "$TABLE" describe "$1") || fail "there is no machine $1" "tools/machines.sh lists them"
  eval "$row"
  if [ "$GUEST" = false ]; then CHECKOUT=$HERE/checkout; else CHECKOUT=$(home)/containers-measured; fi
  case $ARCHITECTURE in
    amd64) QEMU=qemu-system-x86_64 ;;
    arm64) QEMU=qemu-system-aarch64 ;;
  esac
}
home() { if [ "$LOGIN" = root ]; then echo /root; else echo "/home/$LOGIN"; fi; }

# What every machine has besides.
COMMON=systemd-sysv,systemd-resolved,udev,dbus,openssh-server,python3,python3-venv,make,git,ca-certificates,procps,iproute2

say() { printf 'machines: %s\n' "$*" >&2; }
fail() { say "$1"; say "  fix: $2"; exit 3; }

NAME=${1:-}
HERE=$PWD/.cache/machines/$NAME
ROOT=$HERE/root
DISK=$HERE/disk.img
LOADED=(base workload tools engine elsewhere learner) # the images of a machine that has them as a file, with those below them
LIMIT_S=1800 # under emulation, on a busy machine
KERNEL_OPTIONS="root=/dev/vda rw quiet panic=-1 systemd.default_timeout_start_sec=$LIMIT_S systemd.default_device_timeout_sec=$LIMIT_S"

require() {
  [ "$(id -u)" = 0 ] || fail "only root can make a machine's disk" "run it by sudo"
  [ "$(uname -sm)" = "Linux x86_64" ] || fail "these machines are for Linux on x86_64" "use the machine that you have"
  local command
  for command in mmdebstrap mke2fs "$QEMU" ssh flock $([ "$NETWORK" = open ] || echo tinyproxy); do
    command -v "$command" >/dev/null ||
      fail "$command is not installed" "apt-get install mmdebstrap e2fsprogs qemu-system-x86 qemu-system-arm openssh-client util-linux tinyproxy-bin"
  done
}

# --- its disk

make_disk() {
  [ ! -e "$DISK" ] || return 0
  mkdir -p "$HERE"
  if [ ! -d "$ROOT" ]; then
    say "fetching the packages of Debian's $SUITE (a minute or two)"
    rm -rf --one-file-system "$ROOT.new"
    apart mmdebstrap --quiet --mode=root --skip=check/qemu --variant=minbase --architectures="$ARCHITECTURE" --aptopt='Acquire::Check-Valid-Until "false"' \
      --include="$COMMON,linux-image-cloud-$ARCHITECTURE${PACKAGES:+,${PACKAGES// /,}}" "$SUITE" "$ROOT.new" 2>"$HERE/fetch.log" || fail "they could not be had" "see $HERE/fetch.log"
    mv "$ROOT.new" "$ROOT"
  fi
  within sh -c "$LEAST" || fail "$SUITE no longer has what this machine stands for" "tools/machines.sh $NAME remove, then again"
  cp "$ROOT"/boot/vmlinuz-* "$HERE/kernel"
  cp "$ROOT"/boot/initrd.img-* "$HERE/initrd"
  settle
  check_out
  images
  keys
  say "writing its disk"
  rm -f "$DISK.new"
  truncate -s 16G "$DISK.new"
  mke2fs -q -t ext4 -d "$ROOT" "$DISK.new"
  mv "$DISK.new" "$DISK"
  if [ "$IMAGES" = copied ]; then rm -rf "$ROOT"/var/lib/{docker,containerd}; fi
}

# A command with mounts and processes of its own. For another architecture, it is also in a user namespace of its own, where
# the kernel knows an emulator for that architecture's programs: to register one for all of this machine isn't ours to do.
apart() {
  local holder status=0
  if [ "$ARCHITECTURE" = amd64 ]; then
    unshare --mount --propagation private --pid --fork --kill-child "$@"
    return
  fi
  if [ ! -e "$HERE/emulator" ]; then
    (cd "$HERE" && apt-get -qq download qemu-user-static && dpkg --fsys-tarfile qemu-user-static_*.deb | tar -xO ./usr/bin/qemu-aarch64-static >emulator.new) ||
      fail "there is no emulator for its programs to be had" "apt-get update"
    rm "$HERE"/qemu-user-static_*.deb
    chmod +x "$HERE/emulator.new"
    mv "$HERE/emulator.new" "$HERE/emulator"
  fi
  unshare --user setpriv --pdeathsig KILL sleep infinity 9>&- &
  holder=$!
  until [ "$(readlink "/proc/$holder/ns/user")" != "$(readlink /proc/self/ns/user)" ]; do :; done
  echo 0 0 65536 | tee "/proc/$holder/uid_map" >"/proc/$holder/gid_map"
  # shellcheck disable=SC2016  # they are the inner shell's; the numbers are how a program for arm64 begins, and which bits count
  EMULATOR=$HERE/emulator nsenter --user --target "$holder" --setuid 0 --setgid 0 \
    unshare --mount --propagation private --pid --fork --kill-child --mount-proc bash -euc '
      mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
      printf "%s" ":arm64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:$EMULATOR:F" \
        >/proc/sys/fs/binfmt_misc/register
      exec "$@"' bash "$@" || status=$?
  kill "$holder"
  return $status
}

# A command in its root file system, with this machine's network and uv's cache; the mounts end with it.
within() {
  export ROOT UV=${UV_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/uv}
  # shellcheck disable=SC2016  # it is the inner shell's
  apart bash -euc '
    mount -t proc proc "$ROOT/proc"
    mount --rbind /dev "$ROOT/dev"
    mount -t tmpfs tmpfs "$ROOT/tmp"
    mount -t tmpfs tmpfs "$ROOT/run"
    mkdir -p "$UV" "$ROOT/root/.cache/uv" "$ROOT/run/systemd/resolve"
    mount --bind "$UV" "$ROOT/root/.cache/uv"
    cat /etc/resolv.conf >"$ROOT/run/systemd/resolve/stub-resolv.conf"
    exec env --unset=MAKEFLAGS --unset=UV_CACHE_DIR HOME=/root TMPDIR=/tmp PATH=/usr/sbin:/usr/bin:/sbin:/bin \
      chroot "$ROOT" "$@"' bash "$@"
}

# Its name, network and engine.
settle() {
  local variable
  echo "$NAME" >"$ROOT/etc/hostname"
  printf '127.0.0.1 localhost %s\n' "$NAME" >"$ROOT/etc/hosts"
  printf '[Match]\nType=ether\nKind=!veth\n[Network]\nDHCP=yes\n' >"$ROOT/etc/systemd/network/80-dhcp.network"
  ln -sfn /run/systemd/resolve/stub-resolv.conf "$ROOT/etc/resolv.conf"
  within systemctl --quiet enable systemd-networkd systemd-resolved ssh
  if [ "$AS_29" = true ]; then
    mkdir -p "$ROOT/etc/docker" "$ROOT/etc/systemd/system/docker.service.d"
    echo '{"features": {"containerd-snapshotter": true}}' >"$ROOT/etc/docker/daemon.json"
    printf '[Service]\nEnvironment=DOCKER_MIN_API_VERSION=1.44\n' >"$ROOT/etc/systemd/system/docker.service.d/as-29.conf"
  fi
  if [ "$LOGIN" != root ] && [ ! -d "$ROOT$(home)" ]; then within useradd --create-home --shell /bin/bash "$LOGIN"; fi
  if [ "$SUDO" = true ]; then echo "$LOGIN ALL=(ALL) NOPASSWD: ALL" >"$ROOT/etc/sudoers.d/$LOGIN"; fi
  # Authorities of this machine's own, and the variables that lead to them.
  cp /usr/local/share/ca-certificates/*.crt "$ROOT/usr/local/share/ca-certificates/" 2>/dev/null || true
  within update-ca-certificates >/dev/null
  for variable in PIP_CERT SSL_CERT_FILE REQUESTS_CA_BUNDLE; do
    [ -z "${!variable:-}" ] || echo "$variable=/etc/ssl/certs/ca-certificates.crt"
  done >"$ROOT/etc/environment"
  [ "$NETWORK" = open ] || only_by_proxy
}

# No route, no names and no IPv6. In QEMU's network, 10.0.2.2 leads to what listens at this machine's localhost: the proxy that
# `boot` starts.
only_by_proxy() {
  local variable port
  port=$(.venv/bin/python -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
  printf '[Match]\nType=ether\nKind=!veth\n[Network]\nAddress=10.0.2.15/24\nLinkLocalAddressing=no\n' >"$ROOT/etc/systemd/network/80-dhcp.network"
  echo 'net.ipv6.conf.all.disable_ipv6 = 1' >"$ROOT/etc/sysctl.d/80-no-ipv6.conf"
  for variable in http_proxy https_proxy HTTP_PROXY HTTPS_PROXY; do echo "$variable=http://10.0.2.2:$port"; done >>"$ROOT/etc/environment"
  printf '%s\n' no_proxy=localhost,127.0.0.1 NO_PROXY=localhost,127.0.0.1 >>"$ROOT/etc/environment"
  echo 'Defaults env_keep += "http_proxy https_proxy no_proxy"' >"$ROOT/etc/sudoers.d/proxy" # as machines behind one have it
  printf 'Port %s\nListen 127.0.0.1\nTimeout 600\nMaxClients 100\n' "$port" >"$HERE/proxy.conf"
}

# A key made for it, in both directions; root can always log in, and the user owns what lies at home.
keys() {
  local folder
  [ -e "$HERE/key" ] || ssh-keygen -q -t ed25519 -N '' -C "$NAME" -f "$HERE/key"
  for folder in /root "$(home)"; do
    mkdir -p "$ROOT$folder/.ssh"
    cp "$HERE/key.pub" "$ROOT$folder/.ssh/authorized_keys"
  done
  within chown -R "$LOGIN:" "$(home)"
  echo "$NAME $(cut -d ' ' -f 1,2 "$ROOT/etc/ssh/ssh_host_ed25519_key.pub")" >"$HERE/known"
}

# The checkout, and its environment by the reader's own command.
check_out() {
  say "making the environment of its checkout"
  rm -rf "$ROOT$CHECKOUT"
  git clone --quiet --no-hardlinks . "$ROOT$CHECKOUT"
  git -C "$ROOT$CHECKOUT" checkout --quiet -B main "$(git rev-parse HEAD)"
  git -C "$ROOT$CHECKOUT" config receive.denyCurrentBranch updateInstead
  within make --silent -C "$CHECKOUT" .venv/.installed
}

# Our images: as the engine of the same release keeps them, or as a file to be loaded.
images() {
  local engine=$PWD/.cache/engine/containerd folder running=no
  case $IMAGES in
    none) return ;;
    loaded)
      say "saving images for it"
      tools/engine.sh run .venv/bin/python -c 'import sys; from boxlab import images; [*map(images.ensure, sys.argv[1:])]' "${LOADED[@]}" 9>&-
      tools/engine.sh run docker save --output "$PWD/.cache/images.tar" "${LOADED[@]/#/containers-measured/}" 9>&-
      mv .cache/images.tar "$ROOT$(home)"
      return
      ;;
  esac
  say "copying our images onto it"
  if [ -S "$engine/run/docker.sock" ]; then running=yes; fi
  tools/engine.sh run .venv/bin/boxlab prepare 9>&-
  tools/engine.sh stop # files of an engine that runs are not whole
  for folder in docker containerd; do
    rm -rf "$ROOT/var/lib/$folder"
    cp -a "$engine/$folder" "$ROOT/var/lib/$folder"
  done
  rm -rf "$ROOT/var/lib/docker/network" # of another network
  [ $running = no ] || tools/engine.sh start 9>&-
}

# --- running it

# Its QEMU's process id, while it runs.
process() {
  local pid
  pid=$(cat "$HERE/pid" 2>/dev/null) && tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "file=${DISK//,/,,}," && echo "$pid"
}

# What leads to it, for ssh and git; ssh reads a percent sign in a path as its own.
write_ssh_config() {
  local here=${HERE//%/%%}
  cat >"$HERE/ssh" <<END
Host $NAME
  HostName 127.0.0.1
  Port $1
  User $LOGIN
  IdentityFile "$here/key"
  IdentitiesOnly yes
  UserKnownHostsFile "$here/known"
  HostKeyAlias $NAME
  ConnectTimeout 60
  ServerAliveInterval 60
  ServerAliveCountMax 10
  LogLevel ERROR
END
}
guest() { ssh -F "$HERE/ssh" "$NAME" "$@"; }
guest_root() { ssh -F "$HERE/ssh" -l root "$NAME" "$@"; }

boot() {
  local accelerator rate port deadline machine pid
  if process >/dev/null; then return; fi
  trap 'end' EXIT
  trap 'exit 130' INT TERM HUP
  read -r accelerator rate < <(tools/engine.sh run .venv/bin/python -c '
from boxlab.runtimes import accelerator, qemu
print(accelerator.choose().name, qemu.tsc_khz() or "")' 9>&-) || true
  [ -n "$accelerator" ] || fail "no virtual machine boots here" "boxlab doctor says why"
  case $ARCHITECTURE in
    amd64) machine=(-M q35 -cpu max -accel "$accelerator" -append "console=ttyS0 $KERNEL_OPTIONS ${rate:+tsc_early_khz=$rate}") ;;
    # Its pointers are signed by a code that is cheap to emulate.
    arm64) accelerator=tcg machine=(-M virt -cpu "max,pauth-impdef=on" -accel tcg -append "console=ttyAMA0 $KERNEL_OPTIONS") ;;
  esac
  say "booting $NAME ($accelerator; under emulation the login comes after a minute or more)"
  if [ "$NETWORK" = proxy ]; then
    setsid tinyproxy -d -c "$HERE/proxy.conf" </dev/null >"$HERE/proxy.log" 2>&1 9>&- &
    pid=$!
    echo $pid >"$HERE/proxy.pid"
    until grep -q "Accepting connections" "$HERE/proxy.log"; do
      kill -0 $pid 2>/dev/null || fail "its proxy does not start" "see $HERE/proxy.log; is the port of proxy.conf taken? tools/machines.sh $NAME remove takes another"
      sleep 0.1
    done
  fi
  deadline=$((SECONDS + LIMIT_S))
  # Somebody may take the port before QEMU does; and under emulation, a kernel with several processors may stumble, once in a
  # while, as it changes its own code while it boots. Then it ends (panic=-1, -no-reboot).
  for _ in 1 2 3; do
    port=$(.venv/bin/python -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
    write_ssh_config "$port"
    # It must not keep our output open, nor hear the Ctrl-C that is meant for a command in it.
    setsid "$QEMU" "${machine[@]}" -smp "$PROCESSORS" -m "$MEMORY_MIB" -no-reboot \
      -display none -monitor none -serial "file:${HERE//,/,,}/console.log" -daemonize -pidfile "$HERE/pid" \
      -kernel "$HERE/kernel" -initrd "$HERE/initrd" \
      -drive "file=${DISK//,/,,},if=virtio,format=raw,cache=unsafe" -device virtio-rng-pci \
      -netdev "user,id=n,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net-pci,netdev=n </dev/null >"$HERE/qemu.log" 2>&1 9>&- || continue
    until guest true 2>/dev/null; do
      process >/dev/null || { say "it ended while booting; once more"; continue 2; }
      [ $SECONDS -lt $deadline ] || fail "no login within $LIMIT_S s" "see $HERE/console.log"
      sleep 1
    done
    break
  done
  process >/dev/null || fail "it does not boot" "see $HERE/qemu.log and $HERE/console.log"
  trap 'stop' EXIT
  say "its services are starting"
  guest_root "systemctl is-system-running --wait >/dev/null; ! systemctl --quiet is-enabled docker 2>/dev/null || docker version >/dev/null" ||
    fail "its engine does not answer" "log in and see: journalctl -u docker"
  guest_root "[ -e /before ] || { { $BEFORE; } >/before.log 2>&1 && touch /before; }" ||
    fail "it could not be made ready" "log in and see: /before.log"
}

# A checkout of this commit beside this one, on this machine itself; what it made goes with it.
own_checkout() {
  leave
  trap 'leave' EXIT
  trap 'exit 130' INT TERM HUP
  git clone --quiet --no-hardlinks . "$CHECKOUT"
}
leave() {
  # shellcheck disable=SC2086  # they are words
  if [ -x "$CHECKOUT/.venv/bin/boxlab" ]; then $BY "$CHECKOUT/.venv/bin/boxlab" clean --images >/dev/null; fi
  rm -rf "$CHECKOUT"
}

# This commit, if it has another.
update() {
  local head
  head=$(git rev-parse HEAD)
  [ "$(guest "git -C $CHECKOUT rev-parse HEAD")" != "$head" ] || return 0
  say "bringing it to this commit"
  GIT_SSH_COMMAND="ssh -F $(printf %q "$HERE/ssh")" git push --quiet --force "$NAME:$CHECKOUT" "$head:refs/heads/main"
}

start() {
  require
  mkdir -p "$HERE"
  exec 9>"$HERE/lock" # one at a time; what stays running must not hold it
  flock --nonblock 9 || { say "waiting for another command that makes or boots it"; flock 9; }
  make_disk
  boot
  update
  exec 9>&-
}

# Shut it down; kill it where that does not come to an end.
stop() {
  local pid
  trap - EXIT
  pid=$(process) || { end; return; }
  say "shutting $NAME down"
  timeout 60 ssh -F "$HERE/ssh" -l root "$NAME" systemctl poweroff 2>/dev/null || true
  timeout 180 tail --pid="$pid" -f /dev/null || say "it did not end when told to: killing it"
  end
}

end() {
  local pid
  if pid=$(process); then
    kill -KILL "$pid"
    timeout 60 tail --pid="$pid" -f /dev/null
  fi
  if pid=$(cat "$HERE/proxy.pid" 2>/dev/null) && grep -qzF "$HERE/proxy.conf" "/proc/$pid/cmdline" 2>/dev/null; then kill "$pid"; fi
  rm -f "$HERE/pid" "$HERE/proxy.pid"
}

case "$NAME:${2:-}" in
  :*)
    exec .venv/bin/python "$TABLE" list
    ;;
  *[!a-z0-9-]*:*) fail "there is no machine $NAME" "tools/machines.sh lists them" ;; # it is a folder's name as well
  *:start | *:run | *:try)
    describe "$NAME"
    [ "$2" = try ] || [ "$GUEST" = true ] || fail "$NAME is this machine" "it can only be tried: tools/machines.sh $NAME try"
    ;;
  *:stop | *:remove) ;; # also of one that the table no longer has
  *) sed -n '2,13s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
case $2 in
  start)
    start
    trap - EXIT
    say "$NAME runs; log in: ssh -F $(printf %q ".cache/machines/$NAME/ssh") $NAME"
    ;;
  run)
    start
    status=0
    guest "cd $CHECKOUT && ${*:3}" || status=$?
    trap - EXIT # interrupted, it ends what it began; done, the machine stays
    exit $status
    ;;
  try)
    status=0
    if [ "$GUEST" = false ]; then
      own_checkout
      [ -z "${*:3}" ] || make --silent --directory="$CHECKOUT" .venv/.installed # else the first of the tries does so
      # shellcheck disable=SC2086  # they are words
      .venv/bin/python "$TABLE" try "$NAME" "$CHECKOUT" "$(IFS=,; echo "${*:3}")" $BY bash -c || status=$?
      exit $status
    fi
    start
    .venv/bin/python "$TABLE" try "$NAME" "$CHECKOUT" "$(IFS=,; echo "${*:3}")" ssh -F "$HERE/ssh" "$NAME" || status=$?
    stop
    exit $status
    ;;
  stop) stop ;;
  remove)
    end
    rm -rf "$HERE"
    ;;
esac
