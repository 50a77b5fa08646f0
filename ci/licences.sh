#!/usr/bin/env bash
# Fails where a dependency has a licence or a source that deny.toml does not allow.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ci/tools.sh
cargo deny check licenses bans sources
