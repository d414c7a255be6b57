"""The less the better: the neighbor is killed at its work."""


def options(machine: dict) -> dict:
    processes = machine["processes"] - machine["service"]["processes"]
    memory = f"{machine['neighbor']['memory_mib'] // 2}m"
    return {"service": {}, "neighbor": {"mem_limit": memory, "memswap_limit": memory, "pids_limit": processes}}
