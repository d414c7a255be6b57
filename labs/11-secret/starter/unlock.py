"""Opens a sealed model with the token on standard input: python3 unlock.py SEALED MODEL < TOKEN."""

import hashlib
import sys
from pathlib import Path

token = sys.stdin.read().strip()
sealed = Path(sys.argv[1]).read_bytes()
digest, content = sealed[:32], sealed[32:]
stream = hashlib.shake_256(token.encode()).digest(len(content))
model = bytes(one ^ other for one, other in zip(content, stream, strict=True))
if hashlib.sha256(model).digest() != digest:
    sys.exit("unlock.py: this token does not open the model")
Path(sys.argv[2]).write_bytes(model)
