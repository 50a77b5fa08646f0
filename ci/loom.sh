#!/usr/bin/env bash
# Runs the loom models of loom-tests, and fails unless every one of them ran: an empty run is an error.
#
#     ci/loom.sh                  all models
#     ci/loom.sh FILTER           the models whose names contain it; at least one must run
#
# How far a model is explored stands in its code: `every` interleaving, or those `bounded` by a number of preemptions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The encoded form would take precedence, and the models would be compiled away.
unset CARGO_ENCODED_RUSTFLAGS
export RUSTFLAGS="--cfg pyflake_loom"
# Apart from the ordinary build: other flags rebuild everything.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target/loom}"

# An ignored test is declared and does not run, so it is missed below.
declared=$(cat loom-tests/tests/*.rs | grep -cF '#[test]' || true)

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! cargo test -p loom-tests --release --no-fail-fast -- --show-output "$@" 2>&1 | tee "$log" |
    { grep -E '^(model|test|error)\b' || true; }; then
    cat "$log" >&2
    echo "loom: cargo test failed; the whole of its output is above" >&2
    exit 1
fi

ran=$(awk '/^test result:/ { ran += $4 } END { print ran + 0 }' "$log")
if (($#)); then
    echo "loom: $ran models with $* in their names ran and passed"
    ((ran > 0)) || { echo "loom: no model has $* in its name" >&2; exit 1; }
    exit 0
fi
echo "loom: $ran of $declared models ran and passed"
if ((ran == 0 || ran < declared)); then
    echo "loom: models are missing: were they compiled away (--cfg pyflake_loom), or ignored?" >&2
    exit 1
fi
