"""Ends with status 0 if the service answers well within a second."""

import urllib.request

urllib.request.urlopen("http://localhost:8000/health", timeout=1)
