#!/usr/bin/env bash
# Packages the crate as it would be published, builds that, and fails if it is over 300 KB.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

limit=300000
cargo package --package pyflake --allow-dirty
version=$(cargo tree --package pyflake --depth 0 --prefix none | cut --delimiter ' ' --fields 2)
crate=${CARGO_TARGET_DIR:-target}/package/pyflake-${version#v}.crate
size=$(stat --format %s "$crate")
echo "package: $crate has $size of at most $limit bytes"
if ((size > limit)); then
    tar --list --verbose --file "$crate" | sort --numeric-sort --reverse --key 3 | head -n 10 >&2
    echo "package: too large; the largest files are above" >&2
    exit 1
fi
