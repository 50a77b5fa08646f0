#!/usr/bin/env bash
# The rooms of src/, from the ground up: a file may use its own room and the rooms before it in this list, and the files of
# a room use each other without a circle. It reads the lines `use crate::`, tests aside.
set -euo pipefail
cd "$(dirname "$0")/.."

rooms="layout error sync fork trace id clock issue lease client interop docs"

# Each line: a file, and a file or a room that it uses.
arrows=$(
    find src -name '*.rs' ! -path '*/tests/*' ! -name tests.rs ! -path 'src/testing/*' ! -name lib.rs | sort | while read -r file; do
        from=${file#src/} from=${from%.rs}
        # A statement on one line, each `{a, b}` as names of their own; what follows `mod tests` is not read.
        sed '/^mod tests/,$d; /^#\[cfg(test)\]/,$d' "$file" | tr '\n' ' ' | grep -oE 'use crate::[^;]+;' |
            sed -E 's/use crate:://; s/[ ;]//g' | while read -r path; do
            base=${path%%\{*} names=$path
            [[ $path == *\{* ]] && names=${path#*\{} names=${names%\}*} || base=
            for name in ${names//,/ }; do
                to=$base$name to=${to%::self} to=${to//::/\/}
                # The file that the path leads to: the longest part of it that is one.
                while [[ $to == */* && ! -f src/$to.rs && ! -f src/$to/mod.rs ]]; do to=${to%/*}; done
                echo "${from%/mod} $to"
            done
        done
    done | sort -u
)

fail=0
while read -r from to; do
    # The place of a room in the list: how much of the list comes before it.
    below=${rooms%%"${to%%/*}"*} above=${rooms%%"${from%%/*}"*}
    if [[ " $rooms " != *" ${to%%/*} "* || " $rooms " != *" ${from%%/*} "* ]]; then
        echo "src/$from uses $to: one of them is in no room" && fail=1
    elif ((${#below} > ${#above})); then
        echo "src/$from uses $to, which is above it" && fail=1
    elif [[ ${from%%/*} == "$to" && $from == */* && -f src/$to/mod.rs && $to != layout && $to != error ]]; then
        echo "src/$from uses its own room by the front door: name the file" && fail=1
    fi
done <<<"$arrows"
# tsort prints the circles that it finds.
grep -vE '^(\S+) \1$' <<<"$arrows" | tsort >/dev/null || fail=1
entries=$(find src -mindepth 1 -maxdepth 1 | wc -l)
((entries <= 14)) || { echo "src/ has $entries entries, and the limit is 14" && fail=1; }
((fail == 0)) && echo "$(wc -l <<<"$arrows") arrows between $(wc -w <<<"$rooms") rooms: none runs up, none in a circle"
exit $fail
