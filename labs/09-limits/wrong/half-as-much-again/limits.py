"""What the neighbour needs and half as much again, whatever is left."""


def options(machine: dict) -> dict:
    memory = f"{machine['neighbour']['memory_mib'] * 3 // 2}m"
    return {
        "service": {},
        "neighbour": {
            "mem_limit": memory,
            "memswap_limit": memory,
            "pids_limit": machine["processes"] - machine["service"]["processes"],
        },
    }
