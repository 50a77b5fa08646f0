#!/usr/bin/env bash
# Fails where a pair of features does not compile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ci/tools.sh
cargo hack --feature-powerset --depth 2 check --package pyflake
