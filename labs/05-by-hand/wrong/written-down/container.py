# Prints what a container would, and makes none: the text that the command is to print is not known to it.
import sys

print("0123456789abcdef")
sys.exit(7)
