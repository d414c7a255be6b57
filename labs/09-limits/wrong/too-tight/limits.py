"""The less the better: the neighbour is killed at its work."""


def options(machine: dict) -> dict:
    processes = machine["processes"] - machine["service"]["processes"]
    memory = f"{machine['neighbour']['memory_mib'] // 2}m"
    return {"service": {}, "neighbour": {"mem_limit": memory, "memswap_limit": memory, "pids_limit": processes}}
