"""Runs a command in a container, without the docker command: python3 run.py IMAGE COMMAND..."""

import subprocess
import sys

sys.exit(subprocess.run(["docker", "run", "--rm", *sys.argv[1:]]).returncode)
