"""Every runtime, and how it is called."""

from boxlab.errors import BoxlabError
from boxlab.language import _
from boxlab.runtimes.box import Runtime
from boxlab.runtimes.container import Container
from boxlab.runtimes.process import Process
from boxlab.runtimes.snapshot import RestoredVM
from boxlab.runtimes.vm import FullVM, MicroVM

ALL: tuple[type[Runtime], ...] = (Process, Container, RestoredVM, MicroVM, FullVM)
"""Every runtime, lightest first."""


def named(kind: str) -> Runtime:
    """The runtime called `kind`.

    Raises:
        BoxlabError: there is none of that name.
    """
    for runtime in ALL:
        if runtime.kind == kind:
            return runtime()
    raise BoxlabError(
        _("there is no runtime {name!r}", name=kind), _("one of: {names}", names=", ".join(r.kind for r in ALL))
    )
