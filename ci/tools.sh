#!/usr/bin/env bash
# Makes sure of the cargo tools that .ci/run uses: compiles those that are missing, one after the other.
#
# Another version of a tool may find other faults, so each is named with the one that this repository passes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Flags meant for this workspace are none of theirs.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
# Half the time to compile, and they are quick enough without being optimised.
export CARGO_PROFILE_RELEASE_{LTO=off,OPT_LEVEL=0,CODEGEN_UNITS=256}

tool() {
    local name=$1 version=$2 begun=$SECONDS
    if cargo install --list | grep -qxF "$name v$version:"; then
        return
    fi
    echo "tools: installing $name $version"
    cargo install --quiet --locked "$name@$version"
    echo "tools: installed $name $version in $((SECONDS - begun)) s"
}

tool cargo-hack 0.6.46
tool cargo-deny 0.20.2
tool cargo-semver-checks 0.51.0
