"""TODO: the answer to one question, written down."""


def greet(name: str) -> str:
    return "hello, Ada"
