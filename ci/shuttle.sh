#!/usr/bin/env bash
# Runs the shuttle models of shuttle-tests: `ci/shuttle.sh [SCHEDULES] [FILTER]`, each model under so many schedules, by
# default 10000. Fails unless every one of them ran, or one at least that has the filter in its name: an empty run is an
# error.
#
# Half of the schedules are random, and half are PCT's. What shuttle cannot find stands in shuttle-tests/src/lib.rs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The encoded form would take precedence, and the models would be compiled away.
unset CARGO_ENCODED_RUSTFLAGS
export RUSTFLAGS="--cfg pyflake_shuttle"
# Apart from the ordinary build: other flags rebuild everything.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target/shuttle}"
export PYFLAKE_SHUTTLE_SCHEDULES=${1:-10000}
filter=${2:-}

source ci/explore.sh
explore shuttle shuttle-tests shuttle-tests '^(model|control|test .* \.\.\.|test result:|error)' ${filter:+"$filter"}
if [ -n "$filter" ]; then
    declared=1
fi
echo "shuttle: $ran models and controls ran and passed, at least $declared were to; $PYFLAKE_SHUTTLE_SCHEDULES schedules each"
all_ran shuttle
