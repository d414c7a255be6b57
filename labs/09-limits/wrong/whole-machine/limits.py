"""A limit, but it leaves nothing for the service."""


def options(machine: dict) -> dict:
    service = machine["service"]
    processes = machine["processes"] - service["processes"]
    memory = f"{machine['memory_mib']}m"
    return {"service": {}, "neighbor": {"mem_limit": memory, "memswap_limit": memory, "pids_limit": processes}}
