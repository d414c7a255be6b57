"""The limit of processes is set on the one that starts few."""


def options(machine: dict) -> dict:
    service = machine["service"]
    memory = f"{machine['memory_mib'] - service['memory_mib']}m"
    return {
        "service": {"pids_limit": service["processes"]},
        "neighbor": {"mem_limit": memory, "memswap_limit": memory},
    }
