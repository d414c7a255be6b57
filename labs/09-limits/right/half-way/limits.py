"""Between what the neighbor needs and what is left, whichever that is."""

import numpy


def options(machine: dict) -> dict:
    def middle(what: str) -> int:
        least, most = machine["neighbor"][what], machine[what] - machine["service"][what]
        return round((least + most) / 2)

    memory = numpy.int64(middle("memory_mib") * 2**20)
    return {
        "service": {"mem_limit": "0"},
        "neighbor": {"mem_limit": memory, "memswap_limit": memory, "pids_limit": numpy.int64(middle("processes"))},
    }
