"""Killed, and started again, and killed again."""


def options(machine: dict) -> dict:
    service = machine["service"]
    memory = f"{machine['memory_mib'] - service['memory_mib']}m"
    processes = machine["processes"] - service["processes"]
    again = {"Name": "on-failure"}
    limits = {"mem_limit": memory, "memswap_limit": memory, "pids_limit": processes}
    return {"service": {"restart_policy": again}, "neighbor": limits | {"restart_policy": again}}
