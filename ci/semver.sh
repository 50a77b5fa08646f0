#!/usr/bin/env bash
# Fails where the public API has lost or changed something that users of the last release may use.
#
# The last release is the newest tag v*; before the first one it is the revision in ci/semver.baseline. While the version
# in Cargo.toml is still that release's, what is here counts as compatible with it; from a new version on, cargo's rules
# say what may change (before 1.0, anything if the second number is raised).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ "$(git rev-parse --is-shallow-repository)" = true ]; then
    echo "semver: this clone is shallow and lacks the revision to compare with; get the rest: git fetch --unshallow --tags" >&2
    exit 1
fi
compatible=(--release-type minor)
baseline=$(git -c versionsort.suffix=- tag --list 'v[0-9]*' --merged HEAD --sort=-version:refname | head -n 1)
if [ -z "$baseline" ]; then
    baseline=$(sed '/^#/d' ci/semver.baseline)
elif [ "$(cargo tree --package pyflake --depth 0 --prefix none | cut --delimiter ' ' --fields 2)" != "$baseline" ]; then
    compatible=()
fi
if ! git merge-base --is-ancestor "$baseline^{commit}" HEAD; then
    echo "semver: $baseline is no revision that this one comes after: set ci/semver.baseline right" >&2
    exit 1
fi

echo "semver: compared with $baseline"
# The flags of other steps are none of the documentation's that this compares.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTDOCFLAGS
cargo semver-checks --package pyflake --baseline-rev "$baseline" --all-features "${compatible[@]}"
