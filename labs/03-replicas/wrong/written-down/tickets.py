import sys

for number, _line in enumerate(sys.stdin, 1):
    print(f"Ada: ticket {number} for 25", flush=True)
