"""Two fifths of every machine, whatever its service needs."""


def options(machine: dict) -> dict:
    memory = f"{machine['memory_mib'] * 2 // 5}m"
    return {
        "service": {},
        "neighbor": {"mem_limit": memory, "memswap_limit": memory, "pids_limit": machine["processes"] * 2 // 5},
    }
