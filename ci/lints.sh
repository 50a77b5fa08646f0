#!/usr/bin/env bash
# Fails where clippy or the compiler warns, with all features, with the default ones, and without std.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo clippy --workspace --all-targets --all-features -- -D warnings
cargo clippy --workspace --all-targets -- -D warnings
# By itself, as the workspace's other members ask for features.
cargo clippy --package pyflake --all-targets -- -D warnings
cargo clippy --package pyflake --no-default-features --features chrono,jiff,serde -- -D warnings
