#!/bin/sh
# The first process of a second engine: says when it answers, starts it again when it dies, and ends when nobody listens.

# The control groups come read-only; with version 2, a group that holds processes has no controllers to hand on.
awk '$3 ~ /^cgroup/ || $2 == "/sys/fs/cgroup" {print $2}' /proc/mounts | while read -r group; do
    mount -o remount,rw,bind "$group"
done
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p /sys/fs/cgroup/engine
    while read -r pid; do echo "$pid" >/sys/fs/cgroup/engine/cgroup.procs; done </sys/fs/cgroup/cgroup.procs
    sed 's/^/+/;s/ / +/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
fi
mount --make-rshared /

# Settings beside the image's own: one argument, JSON.
if [ $# -gt 0 ]; then
    python3 -c 'import json, sys
own, more = json.load(open(sys.argv[1])), json.loads(sys.argv[2])
json.dump(own | more, open(sys.argv[1], "w"))' /etc/docker/daemon.json "$1" || exit
fi

keep() { # start it, and again when it has died
    while :; do
        rm -f /run/docker.pid /run/containerd/containerd.pid
        "$@" >>"/var/log/$1.log" 2>&1
    done
}
keep containerd &
until [ -S /run/containerd/containerd.sock ]; do sleep 0.05; done
keep dockerd --containerd /run/containerd/containerd.sock &
until docker version >/dev/null 2>&1; do sleep 0.05; done
echo "engine: ready $(docker version --format '{{.Server.APIVersion}} {{.Server.Version}}')"
exec cat >/dev/null
