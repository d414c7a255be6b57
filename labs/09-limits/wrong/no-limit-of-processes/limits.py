"""Memory alone."""


def options(machine: dict) -> dict:
    service = machine["service"]
    memory = f"{machine['memory_mib'] - service['memory_mib']}m"
    return {"service": {}, "neighbor": {"mem_limit": memory, "memswap_limit": memory}}
