"""`make lab` opens JupyterLab on the notebooks, with the kernel that has boxlab."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import command
import psutil

from boxlab import paths
from boxlab.waiting import HANG_S


def test_make_lab_serves_the_notebooks_with_our_kernel():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = f"LAB_OPTIONS=--no-browser --port={port}"
    lab = subprocess.Popen(
        ["make", "lab", options],
        cwd=paths.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed = iter(lab.stdout.readline, "")
        address, token = next(
            found.groups()
            for line in printed
            if (found := re.search(r"(http://127\.0\.0\.1:\d+/)lab\?token=(\w+)", line))
        )

        while True:  # it prints its address before it listens
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert lab.poll() is None
            time.sleep(0.02)

        def ask(path, data=None):
            with urllib.request.urlopen(f"{address}{path}?token={token}", data, timeout=HANG_S) as answer:
                return json.load(answer)

        notebooks = {entry["name"] for entry in ask("api/contents")["content"]}
        ask("api/kernels", b'{"name": "python3"}')
        started = [child.cmdline() for child in psutil.Process(lab.pid).children(recursive=True)]
        [kernel] = [words[0] for words in started if "ipykernel_launcher" in words]
    finally:
        os.killpg(lab.pid, signal.SIGTERM)
        rest, _ = lab.communicate(timeout=HANG_S)
    ended = ("Traceback (most recent call last)", "Exception ignored")  # of a kernel that is ended while it begins
    command.look(rest, but=ended)
    assert Path(kernel).parent == paths.ROOT / ".venv" / "bin"
    assert {"04-kernel.ipynb", "09-limits.ipynb"} <= notebooks
