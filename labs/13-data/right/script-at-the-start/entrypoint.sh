#!/bin/sh
# Begins as root, gives the folder to the user, and becomes that user.
set -e
chown 1000:1000 /data
exec setpriv --reuid 1000 --regid 1000 --clear-groups "$@"
