"""Lab 10: TODO: what holds in the end."""

from boxlab.labs import Work, _, check, same


@check(points=1)
def greets(work: Work) -> None:
    """`greet` greets whoever it is given."""
    name = f"name-{work.random.getrandbits(32):x}"
    (answer,) = work.call("answer", ("greet", name))
    same(f"hello, {name}", str(answer), why=_("TODO: the rule behind it"), next=_("TODO: what to do now"))
