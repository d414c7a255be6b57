"""A soft limit, which says what is given back first when the machine runs out, and kills nobody."""


def options(machine: dict) -> dict:
    service = machine["service"]
    memory = f"{machine['memory_mib'] - service['memory_mib']}m"
    processes = machine["processes"] - service["processes"]
    return {"service": {}, "neighbor": {"mem_reservation": memory, "pids_limit": processes}}
