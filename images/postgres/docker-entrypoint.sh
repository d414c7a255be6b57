#!/bin/bash
# Makes a database of an empty folder, as the variables say, and becomes the server.
set -eu

from_file() { # a variable, or the file that NAME_FILE names
    local name="$1" file="${1}_FILE"
    if [ -n "${!name:-}" ] && [ -n "${!file:-}" ]; then
        echo "error: both $name and $file are set" >&2
        exit 1
    fi
    if [ -n "${!file:-}" ]; then
        printf -v "$name" %s "$(<"${!file}")"
    else
        printf -v "$name" %s "${!name:-${2:-}}"
    fi
    export "${name?}"
    unset "$file"
}

if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then # as root, who may read any secret
    from_file POSTGRES_PASSWORD
    from_file POSTGRES_USER postgres
    from_file POSTGRES_DB "$POSTGRES_USER"
fi

if [ "$1" = postgres ] && [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chown -R postgres:postgres "$PGDATA"
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi

if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    method="${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}"
    if [ -z "$POSTGRES_PASSWORD" ] && [ "$method" != trust ]; then
        echo "error: the database is empty, and neither POSTGRES_PASSWORD nor POSTGRES_PASSWORD_FILE gives it a password" >&2
        exit 1
    fi
    initdb --username="$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") --auth-local=trust --auth-host="$method"
    echo "host all all all $method" >>"$PGDATA/pg_hba.conf"

    # On its socket alone, so that nothing from outside meets a database that is half made.
    pg_ctl start --wait -o "-c listen_addresses=''"
    run() { psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$@"; }
    if [ "$POSTGRES_DB" != postgres ]; then
        run postgres --set name="$POSTGRES_DB" <<<'CREATE DATABASE :"name";'
    fi
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
            *.sh) bash "$file" ;;
            *.sql) run "$POSTGRES_DB" --file "$file" ;;
            *.sql.gz) gunzip --stdout "$file" | run "$POSTGRES_DB" ;;
        esac
    done
    pg_ctl stop --wait --mode fast
    echo "PostgreSQL init process complete; ready for start up."
fi

if [ "$1" = postgres ]; then
    shift
    set -- postgres -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql "$@"
fi
exec "$@"
