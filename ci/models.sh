#!/usr/bin/env bash
# Explores the models of the lease protocols, and fails unless every one of them ran: an empty run is an error.
#
# What is modelled, and within which bounds, stands in models/src.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# An ignored test is declared and does not run, so it is missed below.
declared=$(cat models/tests/*.rs | grep -cF '#[test]' || true)

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Optimised: elsewhere the tests are ignored.
if ! cargo test -p pyflake-models --release --no-fail-fast -- --show-output 2>&1 | tee "$log" |
    { grep -E '^(model|control|test|error)\b' || true; }; then
    cat "$log" >&2
    echo "models: cargo test failed; the whole of its output is above" >&2
    exit 1
fi

ran=$(awk '/^test result:/ { ran += $4 } END { print ran + 0 }' "$log")
models=$(grep -c '^model ' "$log" || true)
controls=$(grep -c '^control ' "$log" || true)
echo "models: $ran of $declared tests ran; $models models hold, $controls controls are refuted"
if ((ran == 0 || ran < declared || models == 0 || controls == 0)); then
    echo "models: some are missing: were they ignored, or compiled away?" >&2
    exit 1
fi
