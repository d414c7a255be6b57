"""A number that the engine wants as a number, written as text."""


def options(machine: dict) -> dict:
    service = machine["service"]
    memory = f"{machine['memory_mib'] - service['memory_mib']}m"
    limits = {"mem_limit": memory, "memswap_limit": memory, "pids_limit": machine["processes"] - service["processes"]}
    return {"service": {}, "neighbor": limits | {"restart_policy": {"Name": "on-failure", "MaximumRetryCount": "3"}}}
