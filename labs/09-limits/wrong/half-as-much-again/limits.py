"""What the neighbor needs and half as much again, whatever is left."""


def options(machine: dict) -> dict:
    memory = f"{machine['neighbor']['memory_mib'] * 3 // 2}m"
    return {
        "service": {},
        "neighbor": {
            "mem_limit": memory,
            "memswap_limit": memory,
            "pids_limit": machine["processes"] - machine["service"]["processes"],
        },
    }
