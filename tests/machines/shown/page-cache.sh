docker run --detach --interactive --name reader containers-measured/weights
docker exec reader dd if=weights.bin iflag=nocache count=0 status=none
docker exec reader sha256sum weights.bin
docker exec reader grep -rwE --include memory.stat "anon|rss|file|cache|inactive_file" /sys/fs/cgroup
docker stats --no-stream --format "{{.MemUsage}}" reader
docker rm --force reader
