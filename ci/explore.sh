# Sourced by ci/loom.sh, ci/shuttle.sh and ci/models.sh: runs every test of a package of models, and counts.
#
#     explore NAME PACKAGE DIRECTORY PATTERN [ARGUMENT]...
#
# It shows the lines that match PATTERN, and passes the arguments to the tests. It sets `ran`, `declared` and `log`. If a
# test fails, it prints the whole output and exits.
explore() {
    local name=$1 package=$2 directory=$3 pattern=$4
    shift 4
    # An ignored test is declared and does not run, so it is missed below.
    declared=$(cat "$directory"/tests/*.rs | grep -cF '#[test]' || true)
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    if ! cargo test -p "$package" --release --no-fail-fast -- --show-output "$@" 2>&1 | tee "$log" |
        { grep -E "$pattern" || true; }; then
        cat "$log" >&2
        echo "$name: cargo test failed; the whole of its output is above" >&2
        exit 1
    fi
    ran=$(awk '/^test result:/ { ran += $4 } END { print ran + 0 }' "$log")
}

# Fails unless every declared test ran: an empty run is an error.
all_ran() {
    ((ran > 0 && ran >= declared)) || {
        echo "$1: models are missing: were they compiled away, or ignored?" >&2
        exit 1
    }
}
