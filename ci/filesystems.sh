#!/usr/bin/env bash
# Runs the tests of the directory of leases on file systems of their own:
#
#     ci/filesystems.sh                       tmpfs, ext4, xfs and btrfs
#     ci/filesystems.sh btrfs                 only that one
#
# Each file system is an image in a temporary directory, mounted by a loop device, and is gone with this script, however
# it ends. That takes root. A file system that cannot be mounted is skipped with a line that says so, and with
# PYFLAKE_REQUIRE_FILESYSTEMS it is an error. PYFLAKE_STRESS_SECONDS is the time of the takeovers on each (5).
set -euo pipefail
cd "$(dirname "$0")/.."

(($#)) || set -- tmpfs ext4 xfs btrfs

root=$(mktemp -d "${TMPDIR:-/tmp}/pyflake-filesystems.XXXXXX")
finish() {
    local status=$?
    trap '' INT TERM HUP
    for kind in "$@"; do
        if mountpoint -q "$root/$kind"; then
            umount "$root/$kind" || umount --lazy "$root/$kind" || true
        fi
    done
    rm -rf --one-file-system "$root"
    exit "$status"
}
# shellcheck disable=SC2064 # expanded now: these are the file systems
trap "finish $*" EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# Makes a file system and mounts it; its program comes from a package of Debian's where it is missing.
mounted() {
    local kind=$1 package=$2
    mkdir "$root/$kind"
    if [ "$kind" = tmpfs ]; then
        mount -t tmpfs -o size=256m pyflake "$root/$kind"
        return
    fi
    if ! command -v "mkfs.$kind" >/dev/null; then
        apt-get update -qq && apt-get install -y -qq "$package" >/dev/null || return
    fi
    truncate -s 512M "$root/$kind.img" && "mkfs.$kind" -q "$root/$kind.img" >/dev/null &&
        mount -o loop "$root/$kind.img" "$root/$kind"
}

# Built once, before the first mount.
cargo test --lib --no-run
run=() skipped=()
for kind in "$@"; do
    case $kind in
        tmpfs) package= ;;
        ext4) package=e2fsprogs ;;
        xfs) package=xfsprogs ;;
        btrfs) package=btrfs-progs ;;
        *) echo "filesystems: $kind is unknown: use tmpfs, ext4, xfs or btrfs" >&2; exit 2 ;;
    esac
    if mounted "$kind" "$package"; then
        echo "== $kind"
        TMPDIR="$root/$kind" PYFLAKE_STRESS_SECONDS=${PYFLAKE_STRESS_SECONDS:-5} PYFLAKE_STRESS_NODES=900 \
            cargo test --lib -- --nocapture lease::file::tests::behaviour lease::file::tests::stress
        run+=("$kind")
    else
        skipped+=("$kind")
    fi
done
echo "filesystems: tested on: ${run[*]:-none}; SKIPPED, as they cannot be mounted here: ${skipped[*]:-none}"
if ((${#skipped[@]})) && [ -n "${PYFLAKE_REQUIRE_FILESYSTEMS:-}" ]; then
    exit 1
fi
