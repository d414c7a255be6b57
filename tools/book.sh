#!/usr/bin/env bash
# What make calls: tools/book.py by the project's own Python.
cd "$(dirname "$0")/.." && exec .venv/bin/python tools/book.py "$@"
