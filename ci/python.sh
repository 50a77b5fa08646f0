#!/usr/bin/env bash
# Builds the Python package once, and tests that one wheel on each CPython of the machine, from 3.10 to the newest:
#
#     ci/python.sh
#
# Everything is made under target/: the wheel, a virtual environment for each CPython, and the servers that the tests
# lease nodes from. The newest CPython runs all tests, the others all but the long ones.
#
# With arguments it runs those instead of the tests, in the newest environment and beside the servers:
#
#     ci/python.sh python python/benches/speed.py
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The largest wheel that carries PostgreSQL, etcd and TLS; past it they would become an extra.
limit=$((6 * 1024 * 1024))

# Each CPython from 3.10 on that can make a virtual environment, newest last: those of PATH and of pyenv.
pythons() {
    local python
    for python in $(compgen -c python3 | grep -E '^python3(\.[0-9]+)?$' | sort -u) \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
        "$python" - 2>/dev/null <<'END' || true
import ensurepip, platform, sys
if platform.python_implementation() == "CPython" and sys.version_info >= (3, 10):
    print("%d.%02d" % sys.version_info[:2], sys.executable)
END
    done | sort -u -k 1,1
}
mapfile -t found < <(pythons)
[ "${#found[@]}" -gt 0 ] || { echo "python: there is no CPython from 3.10 on with venv on this machine" >&2; exit 1; }
oldest=${found[0]#* } newest=${found[-1]#* }
echo "python: CPython ${found[*]%% *}; the package is tested on the first and the last"

begun=$SECONDS
export CARGO_TARGET_DIR=$PWD/target/python
rm -rf target/python/wheels
"$newest" -m venv --clear target/python/venv
target/python/venv/bin/pip install --quiet --requirement python/requirements-test.txt
target/python/venv/bin/pip wheel --quiet --no-deps --wheel-dir target/python/wheels ./python
wheel=$(compgen -G 'target/python/wheels/pyflake-*-abi3-*.whl')
size=$(stat -c %s "$wheel")
echo "python: $(basename "$wheel"), $size bytes of at most $limit, in $((SECONDS - begun)) s"
((size <= limit)) || { echo "python: the wheel is too large: make postgres and etcd an extra" >&2; exit 1; }
target/python/venv/bin/pip install --quiet "$wheel"

export PYFLAKE_REQUIRE_SERVERS=1 PYFLAKE_REQUIRE_PACKAGES=1
if (($#)); then
    PATH=$PWD/target/python/venv/bin:$PATH exec ci/postgres.sh ci/etcd.sh "$@"
fi

(cd python && cargo fmt --check)
(cd python && PYO3_PYTHON=$newest cargo clippy --quiet --all-targets -- -D warnings)

# From another directory, so that the package of the wheel is imported and not the sources.
cd target/python
if [ "$oldest" != "$newest" ]; then
    "$oldest" -m venv --clear venv-oldest
    venv-oldest/bin/pip install --quiet --requirement ../../python/requirements-test.txt "../../$wheel"
    ../../ci/postgres.sh ../../ci/etcd.sh venv-oldest/bin/python -m pytest -q -p no:cacheprovider ../../python/tests \
        -m "not long"
fi
../../ci/postgres.sh ../../ci/etcd.sh venv/bin/python -m pytest -q -s -p no:cacheprovider ../../python/tests
echo "python: all passed in $((SECONDS - begun)) s"
