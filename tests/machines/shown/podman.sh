podman run --detach --name api containers-measured/base sleep 600
podman ps
ps -C conmon,sleep -o user,pid,ppid,comm
podman unshare cat /proc/self/uid_map
podman rm --force --time 0 api
docker --version
