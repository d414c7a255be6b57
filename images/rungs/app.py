"""A service that answers with the size of a picture: small, but it has a dependency that is not."""

from PIL import Image

VERSION = "1"

print(VERSION, Image.new("RGB", (64, 48)).size)
