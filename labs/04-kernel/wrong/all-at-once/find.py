# ask wants one box: this asks for all of them at once.
import sys

from boxes import ask

print(ask(sys.argv[1:], "uname"))
