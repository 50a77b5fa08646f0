#!/usr/bin/env bash
# Checks that the library compiles with the oldest dependencies that Cargo.toml allows. It takes a nightly toolchain.
#
# First only the direct dependencies are the oldest, then all are, which also depends on what other crates claim.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "minimal_versions: skipped, as there is no nightly toolchain (rustup toolchain install nightly)" >&2
    exit 0
fi

# In a copy, without the dev-dependencies and the other members: users resolve neither.
root=$(mktemp -d "${TMPDIR:-/tmp}/pyflake-minimal.XXXXXX")
trap 'rm -rf "$root"' EXIT
cp -r src README.md CHANGELOG.md "$root"
sed -e '/^members/,/^resolver/ { /^resolver/!d }' \
    -e '/^\[\[\(test\|bench\)\]\]$/,/^$/d' -e '/^\[dev-dependencies\]$/,/^$/d' \
    -e "/^\[target.*dev-dependencies\]$/,/^$/d" Cargo.toml >"$root/Cargo.toml"
target=$PWD/target/minimal
cd "$root"
for which in direct-minimal-versions minimal-versions; do
    rm -f Cargo.lock
    cargo +nightly update --quiet -Z "$which"
    if [ "$which" = minimal-versions ]; then
        # tokio-postgres claims async-trait 0.1.0, which no longer compiles.
        cargo +nightly update --quiet --package async-trait --recursive
    fi
    cargo +nightly check --quiet --all-features --locked --target-dir "$target"
    echo "minimal_versions: $which compiles with all features"
done
