"""No swap at all, it is believed; but memory and swap together cannot be less than memory."""


def options(machine: dict) -> dict:
    service = machine["service"]
    memory = f"{machine['memory_mib'] - service['memory_mib']}m"
    processes = machine["processes"] - service["processes"]
    return {"service": {}, "neighbor": {"mem_limit": memory, "memswap_limit": "8m", "pids_limit": processes}}
