"""Shows what predict.py says of readings, beside what was measured.

../../.venv/bin/boxlab readings 1 2 4 4 2 1 8 > readings.json
python3 rehearse.py                               predicts the 8 from the others, which are of no more than half as many
"""

import json
import sys

import predict

MIB = 1 << 20


def main(path: str = "readings.json") -> None:
    with open(path) as file:
        readings = json.load(file)["readings"]
    for reading in readings:
        sums = {name: sum(process[name] for process in reading["processes"]) / MIB for name in ("rss", "pss", "uss")}
        said = ", ".join(f"{name} {size:.1f}" for name, size in sums.items())
        print(f"{reading['containers']} containers: {said} MiB in sum; you say {predict.total(reading):.1f}")
    most = max(reading["containers"] for reading in readings)
    few = [reading for reading in readings if reading["containers"] <= most / 2]
    if not few:
        sys.exit(f"{path} has no readings of {most // 2} containers or fewer to predict from: measure them as well")
    print(f"from {len(few)} of them you predict for {most}: {predict.predict(few, most):.1f} MiB")
    count, at_least = predict.fits(few, 1024)
    print(f"you say that 1024 MiB hold {'at least ' if at_least else ''}{count}")


if __name__ == "__main__":
    main(*sys.argv[1:])
