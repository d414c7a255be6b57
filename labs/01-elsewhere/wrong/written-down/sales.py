import os

tax = 100 + int(os.environ.get("TAX", "20"))
print("2025-12-31 Zürich", 1000 * tax)
print("2026-01-01 Malmö", 1200 * tax)
print("2026-01-01 Zürich", 2000 * tax)
