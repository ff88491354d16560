#!/bin/bash
# `make run`: the service on ./inbox, and a demonstration burst that arrives in it.
#
#   packaging/demo.sh [BUILD_DIR]     results in ./outbox, the journal in ./state
#
# The generator makes ten frames of about 2 megapixels; they come into ./inbox one a second, as a
# camera would write them: under a temporary name, then renamed. The service runs in the foreground
# until Ctrl-C. Each run brings a new burst; ./inbox, ./outbox and ./state stay.
set -u
cd "${BASH_SOURCE%/*}/.." || exit 1
build=${1:-build}
frames=10
interval=1

say()
{
    printf '\n=== %s\n\n' "$*"
}

mkdir -p inbox
demo=$(mktemp -d "$build/demo-XXXXXX") || exit 1
feeder=
finish()
{
    [ -z "$feeder" ] || kill "$feeder" 2>/dev/null
    rm -rf "$demo"
    rm -f inbox/.demo-*.part
}
trap finish EXIT
trap : INT TERM # the service ends by them, and then this script

burst=demo-$(date +%Y%m%d-%H%M%S)
say "making a burst of $frames frames"
"$build/tests/generate" --out "$demo/frames" --no-truth --scene textured --megapixels 2 \
    --frames $frames --seed "$(date +%s)" --start "$(date +%Y-%m-%dT%H:%M:%S)" \
    --interval $interval --name "$burst-%02d" || exit 1

# The part of the camera; then word of the result.
feed()
{
    local file name result
    for file in "$demo"/frames/*; do
        name=${file##*/}
        cp "$file" "inbox/.$name.part" && mv "inbox/.$name.part" "inbox/$name"
        sleep $interval
    done
    until result=$(find outbox -name 'stack.json' -newer "$demo/begun" 2>/dev/null) &&
        [ -n "$result" ]; do
        sleep 0.2
    done
    sleep 0.5 # the service has its own last word first
    while read -r result; do
        say "the stack is in $PWD/${result%/*}"
        ls -l "${result%/*}"
    done <<<"$result"
    say "watching $PWD/inbox: put a burst there. Ctrl-C ends it"
}

touch "$demo/begun"
say "starting the service on $PWD/inbox; the frames arrive one every $interval s"
feed &
feeder=$!
"$build/parfocal" serve --source folder:inbox --outbox outbox --state state
status=$?
say "stopped"
exit $status
