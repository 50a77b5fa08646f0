#!/usr/bin/env bash
# Fails where a file is not formatted as rustfmt.toml says.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo fmt --all --check
# Not a member of the workspace.
cargo fmt --manifest-path tests/no-std/Cargo.toml --check
