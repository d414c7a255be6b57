"""The neighbor gets what its work needs, and the service has all the rest."""


def options(machine: dict) -> dict:
    needs = machine["neighbor"]
    memory = needs["memory_mib"] << 20
    return {
        "service": {},
        "neighbor": {
            "mem_limit": memory,
            "memswap_limit": memory,
            "pids_limit": needs["processes"],
            "restart_policy": {"Name": "no"},
        },
    }
