"""Sizes in bytes, a reservation below the limit, and a policy that says no with its count."""


def options(machine: dict) -> dict:
    memory = (machine["memory_mib"] - machine["service"]["memory_mib"]) * 1024 * 1024
    return {
        "service": {
            "mem_reservation": machine["service"]["memory_mib"] * 1024 * 1024,
            "restart_policy": {"Name": "always"},
        },
        "neighbor": {
            "mem_limit": memory,
            "memswap_limit": memory,
            "mem_reservation": memory // 2,
            "pids_limit": machine["processes"] - machine["service"]["processes"],
            "restart_policy": {"Name": "no", "MaximumRetryCount": 0},
            "init": False,
        },
    }
