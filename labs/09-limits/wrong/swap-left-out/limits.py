"""Without memswap_limit, as much swap again as there is memory."""


def options(machine: dict) -> dict:
    service = machine["service"]
    memory = f"{machine['memory_mib'] - service['memory_mib']}m"
    processes = machine["processes"] - service["processes"]
    return {"service": {}, "neighbor": {"mem_limit": memory, "pids_limit": processes}}
