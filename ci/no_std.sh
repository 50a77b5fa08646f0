#!/usr/bin/env bash
# Builds and runs a program without std on the library, and makes sure that the same program cannot be built once the
# library needs std.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

manifest=(--quiet --manifest-path tests/no-std/Cargo.toml --target-dir target/no-std)
cargo clippy "${manifest[@]}" -- -D warnings
cargo run "${manifest[@]}"

# The control: std brings a panic handler of its own.
if refusal=$(cargo build "${manifest[@]}" --features std 2>&1); then
    echo "no_std: the program could be built with std as well, so it proves nothing" >&2
    exit 1
elif ! grep -q 'duplicate lang item.*panic_impl' <<<"$refusal"; then
    echo "no_std: with std the build failed for another reason than it should:" >&2
    echo "$refusal" >&2
    exit 1
fi
