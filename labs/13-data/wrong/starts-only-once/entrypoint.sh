#!/bin/sh
# Makes a folder, which is there the second time; begins as root, gives the folder to the user, and becomes that user.
set -e
mkdir /data/backup
chown -R 1000:1000 /data
exec setpriv --reuid 1000 --regid 1000 --clear-groups "$@"
