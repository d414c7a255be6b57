"""Unpack the kernel: a loader that is handed `vmlinux` skips the decompression that a `vmlinuz` does at every boot.

The boot protocol's header says where in a `vmlinuz` the compressed kernel lies (Documentation/arch/x86/boot.rst:
magic at 0x202, setup_sects at 0x1f1, payload_offset at 0x248, payload_length at 0x24c). A kernel for arm64 has no such
header and stays as it is.
"""

import struct
import subprocess
from pathlib import Path

LZ4_LEGACY = b"\x02\x21\x4c\x18"
SECTOR = 512

[packed] = Path("/kit").glob("vmlinuz-*")
kernel = packed.read_bytes()
if kernel[0x202:0x206] == b"HdrS":
    setup_sectors = kernel[0x1F1] or 4
    offset, length = struct.unpack_from("<II", kernel, 0x248)
    start = (setup_sectors + 1) * SECTOR + offset
    payload = kernel[start : start + length - 4]  # the last four bytes are its unpacked size
    if not payload.startswith(LZ4_LEGACY):
        raise SystemExit(f"{packed.name} is compressed by something other than lz4: {payload[:4].hex()}")
    kernel = subprocess.run(["lz4", "-dc"], input=payload, stdout=subprocess.PIPE, check=True).stdout
packed.with_name(packed.name.replace("vmlinuz", "vmlinux")).write_bytes(kernel)
packed.unlink()
