# Sourced by ci/postgres.sh and ci/etcd.sh, which run a command beside a server of their own: the server and its
# directory are gone with the script, however it ends. Where the command fails, the server's log is kept.
#
# Before, the script sets `name`. Then it defines `end_server`, which finds the server's directory in `ROOT`, and calls
# `guard`, which sets `root` to it. It starts the server, with the log in `$root/log` and `{alive}>&-` for whatever it
# starts, and ends with `run "$@"`.

if (($# == 0)); then
    echo "usage: ci/$name.sh COMMAND [ARGUMENT]..." >&2
    exit 2
fi

kept="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/target/$name.log"

# A guard in a session of its own waits until this script is over, killed or not: then the pipe's only writer is gone.
# Nothing else may have that end of the pipe. It runs `end_server`, and knows the functions that are named.
guard() {
    root=$(mktemp -d "${TMPDIR:-/tmp}/pyflake-$name.XXXXXX")
    # shellcheck disable=SC2016 # the guard's own shell expands it
    exec {alive}> >(export -f "$@" && NAME=$name KEPT=$kept ROOT=$root exec setsid bash -c '
        read -r word || true
        end_server
        if [ "$word" != passed ] && [ -e "$ROOT/log" ]; then
            mkdir -p "$(dirname "$KEPT")" && cp "$ROOT/log" "$KEPT" && echo "$NAME: the log of the server is in $KEPT" >&2
        fi
        rm -rf "$ROOT"
    ')
    guard=$!
    child=
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
}

finish() {
    local status=$?
    trap '' INT TERM HUP
    if [ -n "$child" ]; then
        kill "$child" 2>/dev/null || true
        wait "$child" 2>/dev/null || true
    fi
    if ((status == 0)); then
        echo passed >&"$alive"
    fi
    exec {alive}>&-
    wait "$guard" 2>/dev/null || true
    exit "$status"
}

# Runs the command, and exits as it does.
run() {
    # In the background, so that a signal to this script is heard at once; but with its input and its signals.
    env --default-signal=INT,QUIT "$@" <&0 {alive}>&- &
    child=$!
    local status=0
    wait "$child" || status=$?
    child=
    exit "$status"
}
