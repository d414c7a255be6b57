"""One loop of asyncio; the lines are waited for in its threads."""

import asyncio
import random
import statistics

READY = "workload: ready"


def measure(boxes: dict, rounds: int = 10, deadline: float = 30.0) -> list[dict]:
    return asyncio.run(all_rounds(boxes, rounds, deadline))


async def all_rounds(boxes: dict, rounds: int, deadline: float) -> list[dict]:
    rows = []
    for number in range(rounds + 1):
        for name in random.sample(list(boxes), len(boxes)):
            seconds, error = await timed(boxes[name], deadline)
            rows.append({"box": name, "round": number, "seconds": seconds, "error": error})
    return rows


async def timed(start, deadline: float) -> tuple[float | None, str | None]:
    clock = asyncio.get_running_loop()
    began = clock.time()
    box = start()
    try:
        async with asyncio.timeout_at(began + deadline):
            while line := await asyncio.to_thread(box.line):
                if line.startswith(READY):
                    return clock.time() - began, None
            return None, "ended"
    except TimeoutError:
        return None, "late"
    finally:
        box.stop()


def summary(rows: list[dict]) -> dict[str, dict]:
    """What the rows of `measure` come to, by box."""
    found = {}
    for name in {row["box"] for row in rows}:
        mine = [row for row in rows if row["box"] == name]
        times = [row["seconds"] for row in mine if row["round"] > 0 and row["seconds"] is not None]
        found[name] = {
            "n": len(times),
            "failed": sum(row["seconds"] is None for row in mine),
            "median": statistics.median(times) if times else None,
            "low": quartile(times, 0),
            "high": quartile(times, 2),
            "slowest": max(times, default=None),
        }
    return found


def quartile(times: list[float], which: int) -> float | None:
    if len(times) < 2:
        return times[0] if times else None
    return statistics.quantiles(times, method="inclusive")[which]
