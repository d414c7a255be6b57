"""Each gets its own part, and the two make the machine."""


def options(machine: dict) -> dict:
    def part(memory_mib: int, processes: int) -> dict:
        size = f"{memory_mib * 1024}k"
        return {"mem_limit": size, "memswap_limit": size, "pids_limit": processes}

    service = machine["service"]
    rest = {what: machine[what] - service[what] for what in service}
    return {"service": part(**service), "neighbor": part(**rest)}
