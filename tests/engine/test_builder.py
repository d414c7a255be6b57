"""A build that is interrupted, each way to build that there is here, leaves nothing and runs no further."""

import signal
import subprocess
import sys

import pytest

from boxlab import builder, engine, images, marks, waiting

TAG = images.passing("lab-99-interrupted")

BUILD = f"""
import sys
from pathlib import Path
from boxlab import builder, engine, interrupts
builder.chosen = lambda: builder.Way(sys.argv[1])
interrupts.listen()  # as a command of ours: an interrupt that Python drops in a finalizer strikes again
with interrupts.raised():
    builder.build(Path(sys.argv[2]), "{TAG}", labels=engine.labels(), watch=lambda line: print(line, flush=True))
"""


@pytest.mark.parametrize("way", builder.Way, ids=lambda way: way.name)
def test_an_interrupted_build_leaves_nothing(way, tmp_path):
    if way not in builder.ways():
        pytest.skip("this engine or its command has another builder")
    images.ensure("base")
    (tmp_path / "Dockerfile").write_text(
        f"FROM {images.PREFIX}base\nRUN echo {way.name} > /one\nRUN echo begun && sleep 599\n"
    )
    before = there()
    command = [sys.executable, "-c", BUILD, way, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert any(line.endswith("begun\n") for line in process.stdout)
        process.send_signal(signal.SIGINT)
        complaint = process.communicate()[1]
    assert complaint.rstrip().endswith("KeyboardInterrupt")
    waiting.until(lambda: not (there() - before) | sleeping())  # the engine takes a moment


def there():
    """What a build can leave: images, with steps without a name, and containers."""
    client = engine.connect()
    ours = {"label": f"{engine.OWNER_LABEL}={marks.owner()}"}
    found = builder.unnamed(engine.LABEL) | {tag for i in engine.images(filters=ours) for tag in i.tags}
    return found | {container.id for container in client.containers.list(all=True, ignore_removed=True, filters=ours)}


def sleeping():
    commands = subprocess.run(["ps", "-A", "-o", "command"], capture_output=True, text=True, check=True).stdout
    return {line for line in commands.splitlines() if line == "sleep 599"}
