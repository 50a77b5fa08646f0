#!/usr/bin/env bash
# Builds the documentation as docs.rs does, which takes a nightly toolchain, and fails where a link is broken, or where
# nothing is marked as coming with a feature.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "docs: skipped, as there is no nightly toolchain (rustup toolchain install nightly)" >&2
    exit 0
fi

rm -rf target/nightly/doc
RUSTDOCFLAGS="--cfg docsrs -D warnings" cargo +nightly doc --package pyflake --all-features --no-deps --target-dir target/nightly

features=$(sed -n '/^\[features\]/,/^\[dep/s/^\([a-z-]*\) = .*/\1/p' Cargo.toml | grep -v '^default$')
[ -n "$features" ] || { echo "docs: Cargo.toml names no feature" >&2; exit 1; }
for feature in $features; do
    if ! grep -rqE "crate features? (<code>[a-z-]+</code>[a-z, ]+)*<code>$feature</code>|crate features? [^\"<]*\`$feature\` only\"" target/nightly/doc/pyflake; then
        echo "docs: nothing says that it comes with the feature $feature" >&2
        exit 1
    fi
done
echo "docs: each feature is named: " $features
