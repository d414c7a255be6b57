"""Every option is said, those that are not wanted as the SDK's own default."""


def options(machine: dict) -> dict:
    service = machine["service"]
    memory = f"{machine['memory_mib'] - service['memory_mib']}m"
    nothing = dict.fromkeys(["mem_limit", "memswap_limit", "mem_reservation", "pids_limit", "restart_policy", "init"])
    return {
        "service": nothing,
        "neighbor": nothing
        | {"mem_limit": memory, "memswap_limit": memory, "pids_limit": machine["processes"] - service["processes"]},
    }
