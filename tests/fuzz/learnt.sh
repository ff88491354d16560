#!/bin/bash
# Keeps what the fuzzers have learnt for those who go on elsewhere: of each target the least set of
# inputs that reaches all that its corpora in BUILD_DIR reach, in tests/fuzz/learnt.tar.xz. A target
# without a corpus there keeps what it had.
#
#   tests/fuzz/learnt.sh [BUILD_DIR]
set -eu
cd "${BASH_SOURCE%/*}/../.."
build=${1:-build/fuzz}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ ! -f tests/fuzz/learnt.tar.xz ] || tar -xf tests/fuzz/learnt.tar.xz -C "$work"
for corpus in "$build"/corpus/*/; do
    name=$(basename "$corpus")
    mkdir -p "$work/new"
    "$build/tests/fuzz_$name" -merge=1 -timeout=60 -rss_limit_mb=3000 -max_len=65536 "$work/new" \
        "$corpus" "tests/fuzz/corpus/$name" >/dev/null 2>"$work/log" || {
        tail -n 5 "$work/log" >&2
        exit 1
    }
    rm -rf "${work:?}/$name"
    mv "$work/new" "$work/$name"
    echo "$name: $(find "$corpus" -type f | wc -l) inputs, $(find "$work/$name" -type f | wc -l) kept"
done
rm -f "$work/log"
(cd "$work" && tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -c -- *) |
    xz -9e >tests/fuzz/learnt.tar.xz.part
mv tests/fuzz/learnt.tar.xz.part tests/fuzz/learnt.tar.xz
