# Says what a container would say, and makes none.
import json
import sys

facts = {"nonce": "", "pid": 1, "processes": ["1"], "name": sys.argv[2], "mounts": ["/", "/proc"], "found": None}
print(json.dumps(facts | {"nonce": "0123456789abcdef", "escaped": None}))
