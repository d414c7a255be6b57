"""Look inside an image that `docker save` has written. Images are paths of such archives; digests begin with "sha256:"."""


def layers(image: str) -> list[str]:
    """The digests of the layers that a container of this image gets, the lowest first."""
    raise NotImplementedError


def broken(image: str) -> list[str]:
    """The digests, as they are named, of all parts whose content isn't what their name says."""
    raise NotImplementedError


def files(image: str) -> dict[str, int]:
    """The path of each file that a container sees, such as "app/predict.py", and its size in bytes."""
    raise NotImplementedError


def hidden(image: str) -> list[tuple[str, str]]:
    """Digest of the layer, and path, of each file that is in a layer, and that no container sees."""
    raise NotImplementedError
