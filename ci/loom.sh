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

source ci/explore.sh
explore loom loom-tests loom-tests '^(model|test|error)\b' "$@"
if (($#)); then
    echo "loom: $ran models with $* in their names ran and passed"
    ((ran > 0)) || { echo "loom: no model has $* in its name" >&2; exit 1; }
    exit 0
fi
echo "loom: $ran of $declared models ran and passed"
all_ran loom
