#!/usr/bin/env bash
# Builds the documentation with the private items, and fails where a link is broken.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

RUSTDOCFLAGS="-D warnings" cargo doc --workspace --all-features --no-deps --document-private-items
