"""Read the weights on request: "evict" asks the kernel to forget the file, any other line reads it through."""

import os
import sys

print("workload: started", flush=True)
weights = os.open("/app/weights.bin", os.O_RDONLY)
print("workload: ready to be asked", flush=True)
print('workload: identity {"pid": %d}' % os.getpid(), flush=True)
for line in sys.stdin:
    if line.strip() == "evict":
        os.posix_fadvise(weights, 0, 0, os.POSIX_FADV_DONTNEED)
        print("workload: answer evicted", flush=True)
    else:
        os.lseek(weights, 0, os.SEEK_SET)
        read = 0
        while chunk := os.read(weights, 1 << 20):
            read += len(chunk)
        print(f"workload: answer {read}", flush=True)
