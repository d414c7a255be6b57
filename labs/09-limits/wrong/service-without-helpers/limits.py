"""The service looks like one process, while nobody asks it much."""


def options(machine: dict) -> dict:
    service = machine["service"]
    memory = f"{machine['memory_mib'] - service['memory_mib']}m"
    processes = machine["processes"] - service["processes"]
    limits = {"mem_limit": memory, "memswap_limit": memory, "pids_limit": processes}
    return {"service": {"pids_limit": 8}, "neighbor": limits}
