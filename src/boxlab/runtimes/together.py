"""Several boxes at once, for a demonstration: what does not start or stops answering is left out, and said."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from boxlab import progress
from boxlab.errors import NotReady, Unavailable
from boxlab.language import _
from boxlab.runtimes import known
from boxlab.runtimes.box import Box, Runtime, Workload

T = TypeVar("T")


class Boxes(dict[str, Box]):
    """Boxes that run, by name.

    Attributes:
        left_out: name of each that does not, or no longer -> why.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left_out: dict[str, str] = {}

    def each(self, ask: Callable[[str, Box], T]) -> dict[str, T]:
        """What `ask` returns for each box, by name; one that does not answer is stopped and left out."""
        found = {}
        for name, box in list(self.items()):
            try:
                found[name] = ask(name, box)
            except NotReady as error:
                self.pop(name).stop()
                self._leave_out(name, error)
        return found

    def _leave_out(self, name: str, error: Exception) -> None:
        self.left_out[name] = str(error)
        print(_("left out: {box}: {why}", box=name, why=error))


@contextmanager
def started(wanted: Mapping[str, str | Runtime] | Iterable[str], workload: Workload = Workload()) -> Iterator[Boxes]:
    """Start boxes one after the other; all run until the block ends.

    Args:
        wanted: names of runtimes; or a name for each, since several may be of one kind.
        workload: what they run.

    Raises:
        BoxlabError: there is no such runtime.
        EngineError: the engine does not answer, or refuses.
    """
    named = wanted if isinstance(wanted, Mapping) else {kind: kind for kind in wanted}
    runtimes = {name: known.named(r) if isinstance(r, str) else r for name, r in named.items()}
    with ExitStack() as stack:
        boxes = Boxes()
        for name in progress.steps(_("starting"), list(runtimes), str):
            try:
                runtimes[name].prepare(workload)
                boxes[name] = stack.enter_context(runtimes[name].start(workload))
            except (NotReady, Unavailable) as error:
                boxes._leave_out(name, error)
        yield boxes
