#!/usr/bin/env bash
# Checks that what `cargo test` builds compiles with the Rust that Cargo.toml names as rust-version.
#
# Without that toolchain, and where rustup cannot install it, only the manifests and clippy say so. They do not see all.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
[ -n "$version" ] || { echo "msrv: Cargo.toml names no rust-version" >&2; exit 1; }

# The manifests: no crate that the default members need asks for a newer Rust. Cargo refuses such a build by itself, but
# only with the old toolchain.
python3 - "$version" <<'END'
import json, subprocess, sys

limit = [int(part) for part in sys.argv[1].split(".")]
data = json.loads(subprocess.check_output(["cargo", "metadata", "--format-version", "1", "--all-features", "--locked"]))
needs = {node["id"]: node["dependencies"] for node in data["resolve"]["nodes"]}
found, todo = set(), list(data["workspace_default_members"])
while todo:
    package = todo.pop()
    if package not in found:
        found.add(package)
        todo += needs[package]
newer = [
    f"{package['name']} {package['version']} needs Rust {package['rust_version']}"
    for package in data["packages"]
    if package["id"] in found and [int(part) for part in (package["rust_version"] or "1").split(".")][:2] > limit
]
if newer:
    sys.exit(f"msrv: newer than Rust {sys.argv[1]}:\n  " + "\n  ".join(newer))
print(f"msrv: {len(found)} crates of the default members, none needs more than Rust {sys.argv[1]}")
END

# The code: what std has had only since a later version.
cargo clippy --all-targets --all-features -- -D clippy::incompatible_msrv

if ! cargo "+$version" --version >/dev/null 2>&1 && ! rustup toolchain install "$version" --profile minimal >/dev/null 2>&1; then
    echo "msrv: skipped the build, as there is no Rust $version and rustup cannot install it" >&2
    exit 0
fi
cargo "+$version" check --all-targets --locked --target-dir target/msrv
cargo "+$version" check --package pyflake --all-features --locked --target-dir target/msrv
echo "msrv: the default members build with Rust $version"
