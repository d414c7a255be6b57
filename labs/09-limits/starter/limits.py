"""With which options do two containers share a machine, so that one survives whatever the other does?

python3 limits.py      shows what `options` says about EXAMPLE
"""

import json

EXAMPLE = {
    "memory_mib": 136,  # what the machine can give to the two containers together
    "processes": 30,
    "service": {"memory_mib": 64, "processes": 10},  # what each needs when it is busiest, all of its container counted
    "neighbor": {"memory_mib": 40, "processes": 5},
}


def options(machine: dict) -> dict:
    """Keyword arguments of the Docker SDK's `containers.run` for the service and for its neighbor."""
    return {
        "service": {"mem_limit": f"{machine['service']['memory_mib']}m"},
        "neighbor": {"mem_limit": f"{machine['memory_mib']}m"},
    }


if __name__ == "__main__":
    print(json.dumps(options(EXAMPLE), indent=4))
