#!/usr/bin/env bash
# Explores the models of the lease protocols, and fails unless every one of them ran: an empty run is an error.
#
# What is modelled, and within which bounds, stands in models/src.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source ci/explore.sh
# Optimised, as every model: elsewhere the tests are ignored.
explore models pyflake-models models '^(model|control|test|error)\b'
models=$(grep -c '^model ' "$log" || true)
controls=$(grep -c '^control ' "$log" || true)
echo "models: $ran of $declared tests ran; $models models hold, $controls controls are refuted"
all_ran models
if ((models == 0 || controls == 0)); then
    echo "models: no model or no control printed its line" >&2
    exit 1
fi
