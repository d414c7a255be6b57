"""The service may not use more than it needs, and the neighbor may."""


def options(machine: dict) -> dict:
    service = machine["service"]
    processes = machine["processes"] - service["processes"]
    limit = f"{service['memory_mib']}m"
    return {"service": {"mem_limit": limit, "memswap_limit": limit}, "neighbor": {"pids_limit": processes}}
