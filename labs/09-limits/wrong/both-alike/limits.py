"""Equal limits for both look fair; the service needs more when it is busy."""


def options(machine: dict) -> dict:
    service = machine["service"]
    memory = f"{machine['memory_mib'] - service['memory_mib']}m"
    processes = machine["processes"] - service["processes"]
    limits = {"mem_limit": memory, "memswap_limit": memory, "pids_limit": processes}
    return {"service": limits, "neighbor": limits}
