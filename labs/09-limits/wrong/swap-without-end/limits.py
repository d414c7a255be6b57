"""-1 is not none: it is no limit."""


def options(machine: dict) -> dict:
    service = machine["service"]
    memory = f"{machine['memory_mib'] - service['memory_mib']}m"
    processes = machine["processes"] - service["processes"]
    return {"service": {}, "neighbor": {"mem_limit": memory, "memswap_limit": -1, "pids_limit": processes}}
