docker info --format '{{join .SecurityOptions " "}}'
ps -C dockerd -o user,comm
docker run --rm containers-measured/base id --user
docker run --rm containers-measured/base cat /proc/self/uid_map
docker run --rm --volume /etc:/host containers-measured/base cat /host/shadow   # fails: status 1: Permission denied
