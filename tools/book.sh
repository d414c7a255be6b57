#!/usr/bin/env bash
# What make calls: tools/book.py by the project's own Python.
unset CDPATH # or `cd` may go to a folder of that name elsewhere
cd "$(dirname "$0")/.." && exec .venv/bin/python tools/book.py "$@"
