"""Mistaken: the neighbor gets what the service leaves over, and one process more for its init."""


def options(machine: dict) -> dict:
    """Keyword arguments of the Docker SDK's `containers.run` for the service and for its neighbor."""
    service = machine["service"]
    memory = f"{machine['memory_mib'] - service['memory_mib']}m"
    return {
        "service": {},
        "neighbor": {
            "mem_limit": memory,
            "memswap_limit": memory,  # memory and swap together: no swap
            "pids_limit": machine["processes"] - service["processes"] + 1,
            "init": True,
        },
    }
