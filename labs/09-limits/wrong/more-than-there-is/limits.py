"""As good as no limit, it is hoped: no engine counts that far."""


def options(machine: dict) -> dict:
    return {"service": {"mem_limit": "9" * 400 + "m"}, "neighbor": {"mem_limit": "64m", "memswap_limit": "64m"}}
