#!/usr/bin/env bash
# Fails where the default features pull more crates than 8, this one among them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

limit=8
crates=$(cargo tree --package pyflake --edges normal --prefix none --locked "$@" | sed 's/ (\*)$//' | sort -u)
[ -n "$crates" ] || { echo "dependencies: cargo tree names no crate" >&2; exit 1; }
count=$(wc -l <<<"$crates")
echo "dependencies: $count of at most $limit crates with the features ${*:-of the default}"
if ((count > limit)); then
    echo "$crates" >&2
    exit 1
fi
