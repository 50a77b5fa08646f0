#!/usr/bin/env bash
# Counts the instructions of the operations in ci/callgrind.limits, and fails where one takes more than its limit.
#
# Instructions, unlike times, are the same on a busy machine. A change that needs more of them raises the limit in the same
# commit, where everybody sees it. Arguments go to cargo: `--features tracing` must keep the same limits.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v valgrind >/dev/null; then
    if [ "${PYFLAKE_REQUIRE_VALGRIND:-}" = 1 ]; then
        apt-get update -qq
        apt-get install -y -qq valgrind >/dev/null
    else
        echo "callgrind: skipped, as valgrind is not installed (Debian's package: valgrind)" >&2
        exit 0
    fi
fi

# The features and the flags that users build with.
program=$(cargo bench --bench instructions --no-run "$@" 2>&1 | sed -n 's/.*instructions.rs (\(.*\))$/\1/p')
[ -x "$program" ] || { echo "callgrind: cargo has built no program" >&2; exit 1; }

failed=0 operations=0
printf '%-20s %14s %8s\n' operation instructions limit
while read -r operation calls limit; do
    case "$operation" in '' | '#'*) continue ;; esac
    operations=$((operations + 1))
    counted=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='instructions::counted*' \
        "$program" "$operation" "$calls" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p')
    each=$(awk -v counted="${counted:-0}" -v calls="$calls" 'BEGIN { printf "%.1f", counted / calls }')
    verdict=$(awk -v each="$each" -v limit="$limit" 'BEGIN {
        if (each == 0) print "not measured"
        else if (each > limit) print "over the limit"
    }')
    printf '%-20s %14s %8s %s\n' "$operation" "$each" "$limit" "$verdict"
    [ -z "$verdict" ] || failed=1
done <ci/callgrind.limits

if ((operations == 0)); then
    echo "callgrind: ci/callgrind.limits names no operation" >&2
    exit 1
fi
exit "$failed"
