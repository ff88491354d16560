#!/bin/bash
# generate.bash OPTIONS: "$GENERATE" of the system tests. What has been made in this run is made once: the generator's
# own output is kept in $PICTURES, by its options, and whoever asks for it again gets a copy, in the order of names.
# Without $PICTURES, with files in two places or at a pace, and where nothing can be kept, it is the generator itself.
#
#   $PICTURES      a directory that tests/run makes and clears away; shared by all that run at once, and by the runs of .ci/run
#   $GENERATOR     the program
set -u
shopt -s nullglob

out='' key='' previous=''
for argument; do
    case $argument in --truth-dir* | --pace* | --out=*) exec "$GENERATOR" "$@" ;; esac
    if [ "$previous" = --out ]; then
        out=$argument
    elif [ "$argument" != --out ]; then
        key+=" ${argument//\//%}"
    fi
    previous=$argument
done
[ -d "${PICTURES:-}" ] && [ "$out" ] && [ ${#key} -gt 1 ] && [ ${#key} -lt 250 ] || exec "$GENERATOR" "$@"

kept=$PICTURES/$key
if [ ! -d "$kept" ]; then
    # Under a name of its own until it is whole: of two that make the same, one is taken, and the other cleared away.
    made=$(mktemp -d "$PICTURES/.made-XXXXXX" 2>/dev/null) || exec "$GENERATOR" "$@"
    trap 'rm -rf "$made"' EXIT
    # What is given last counts.
    "$GENERATOR" "$@" --out "$made" || exit
    chmod -R a-w,a+rX "$made"/*
    mv -nT "$made" "$kept" 2>/dev/null
fi
mkdir -p "$out" && cp --no-preserve=mode -r "$kept"/* "$out"
