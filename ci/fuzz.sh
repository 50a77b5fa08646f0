#!/usr/bin/env bash
# Runs fuzz targets, one after the other: `ci/fuzz.sh SECONDS [TARGET…]`, for so many seconds each, by default all of them.
#
# Without a nightly toolchain it says so, and passes. It fails at the first finding, and prints the command that repeats it.
# New inputs are kept in fuzz/target/corpus, so that the next run goes on from there; fuzz/corpus has the ones to begin with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:?how many seconds for each target?}
shift

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzz: skipped, as there is no nightly toolchain (rustup toolchain install nightly)" >&2
    exit 0
fi

# The encoded form would take precedence.
unset CARGO_ENCODED_RUSTFLAGS
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "fuzz: installing cargo-fuzz"
    RUSTFLAGS="" CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=0 cargo install --quiet --locked cargo-fuzz@0.13.2
fi
export RUSTFLAGS="--cfg pyflake_fuzz"

mapfile -t declared < <(sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"$|\1|p' fuzz/Cargo.toml)
targets=("${@:-${declared[@]}}")
if ((${#targets[@]} == 0)); then
    echo "fuzz: fuzz/Cargo.toml names no target" >&2
    exit 1
fi

# The library has no unsafe code for a sanitizer to watch, and without one ten times as many inputs are tried.
options=(--fuzz-dir fuzz --sanitizer none)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for target in "${targets[@]}"; do
    if ! cargo +nightly fuzz build "${options[@]}" "$target" &>"$log"; then
        cat "$log" >&2
        exit 1
    fi
    mkdir -p "fuzz/target/corpus/$target"
    if ! cargo +nightly fuzz run "${options[@]}" "$target" "fuzz/target/corpus/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -timeout=30 -print_final_stats=1 &>"$log"; then
        grep -v -e '^#[0-9]' -e NEW_FUNC "$log" | tail -n 60 >&2
        echo "fuzz: $target has found something; with the input that is named above:" >&2
        echo "RUSTFLAGS='$RUSTFLAGS' cargo +nightly fuzz run ${options[*]} $target INPUT" >&2
        exit 1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "fuzz: $target has tried ${runs:-0} inputs in $seconds s"
    if ((${runs:-0} == 0)); then
        cat "$log" >&2
        exit 1
    fi
done
