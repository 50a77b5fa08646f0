#!/usr/bin/env bash
# Runs the README's first command, which must print five different IDs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ "$(cargo run --release -- generate --count 5 | sort -u | wc -l)" = 5 ] || {
    echo "first_command: cargo run --release -- generate --count 5 did not print five different IDs" >&2
    exit 1
}
