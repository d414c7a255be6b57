"""The options of the command line, which the SDK names otherwise."""


def options(machine: dict) -> dict:
    service = machine["service"]
    memory = f"{machine['memory_mib'] - service['memory_mib']}m"
    processes = machine["processes"] - service["processes"]
    return {"service": {}, "neighbor": {"memory": memory, "memory_swap": memory, "pids_limit": processes}}
