#!/usr/bin/env bash
# Builds all examples and benches.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --workspace --examples --benches --all-features
