"""TODO: what this is."""


def greet(name: str) -> str:
    """A greeting, such as "hello, Ada"."""
    return "hello"
