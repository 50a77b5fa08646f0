#!/usr/bin/env bash
# Runs the README's command for the tests, then all tests with all features, beside servers of their own.
#
# Nothing is skipped: where libfaketime or a server is missing, the tests that need it fail.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo test
export PYFLAKE_REQUIRE_FAKETIME=1 PYFLAKE_REQUIRE_POSTGRES=1 PYFLAKE_REQUIRE_ETCD=1
ci/postgres.sh ci/etcd.sh cargo test --workspace --all-features
