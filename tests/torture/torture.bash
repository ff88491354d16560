# For the torture tests: sourced after ../system/lib.sh and ../system/serve.bash.
#
# Each test hurts the service ROUNDS times and looks after every round whether what had been promised
# is there. Short versions run in `make test`; `make torture` sets TORTURE=1 (long ones), TABLE, a file that
# gets the row of each test, and TORTURE_LOG, one that gets all they say. Moments are random by $PARFOCAL_SEED
# (printed).
#
#   rounds SHORT LONG            sets ROUNDS; ROUNDS=N of the environment wins
#   begin [OPTIONS]              the service on $T/inbox, $DISK/outbox and $DISK/state, always with $ALWAYS
#   tell_of_stacks               a hook in $ALWAYS that is told of each stack
#   await_begin                  until it takes frames; how long that took goes to $T/recovery
#   drop_burst                   makes a burst of 5 small frames and drops them
#   start_photographing          drops bursts one after the other, until end_photographing
#   note_promises                what the service has promised until now, from its log
#   check_promises               every recorded frame and published output is there
#   has_not_crashed [MORE]       nothing of the service, by its log
#   end_round ROUND [MORE]       what was promised is there; then all that is left is done
#   finish_all [OPTIONS]         lets the service end its work undisturbed; then all that was dropped is
#                                in the newest version of exactly one burst
#   count_stacked                what of $T/dropped is in no output, and what is in two: adds to $lost and $twice
#   report WHAT [ROUNDS [TIME]]  fails when something was lost or came twice, and adds the test's row to the table

TORTURE=${TORTURE:-}

rounds()
{
    ROUNDS=${ROUNDS:-$([ -z "$TORTURE" ] && echo "$1" || echo "$2")}
    [ -z "${TORTURE_LOG:-}" ] || exec >>"$TORTURE_LOG" 2>&1
    local seed=${PARFOCAL_SEED:-$RANDOM}
    echo "PARFOCAL_SEED=$seed"
    RANDOM=$seed
    lost=0 twice=0 burst_number=0 DISK=$T
    mkdir_inbox
    : >promised.frames >promised.outputs >recovery >dropped
}

now_ms()
{
    echo $(($(date +%s%N) / 1000000))
}

begin()
{
    begun_ms=$(now_ms)
    start service "${UNDER[@]}" "$PARFOCAL" serve --source "folder:$T/inbox" --outbox "$DISK/outbox" \
        --state "$DISK/state" --settle 0.02 --gap 3 --hold 0.2 --rescan-interval 0.5 --retries 100 \
        --expected-frames 5 --format jpeg --no-depth-map --threads 1 --thumbnails 0 "${ALWAYS[@]}" "$@"
}
UNDER=()
ALWAYS=()

# A hook that notes of each stack where it is: each line of `told`.
tell_of_stacks()
{
    printf '#!/bin/sh\necho "$PARFOCAL_DIRECTORY" >>"%s"\n' "$T/told" >hook
    chmod +x hook
    : >told
    ALWAYS=(--on-burst "$T/hook" --hook-retries 1000 --hook-backoff 0.2)
}

all_are_told()
{
    [ -z "$(find "$DISK/outbox" -mindepth 1 -maxdepth 1 -name '[!.]*' | sort | comm -23 - <(sort -u told))" ]
}

# Is asked for, as a browser does, as long as `go` is there; the answers are in `asked`.
browse()
{
    while [ -e go ]; do
        curl -sN --max-time 30 --unix-socket state/http http://localhost/api/v1/events || true
        sleep 0.2
    done | { grep --line-buffered '^event:' || true; } >>heard &
    while [ -e go ]; do
        for path in / /api/v1/status /api/v1/bursts /metrics; do
            curl -s -o /dev/null -w '%{http_code}\n' --max-time 30 --unix-socket state/http "http://localhost$path" || true
        done | sed '/^000/d' >>asked
        sleep "0.$((RANDOM % 9))"
    done
    wait
}

await_begin()
{
    await_log 'capture folder.*inotify, ok' "${1:-60}"
    echo $(($(now_ms) - begun_ms)) >>"$T/recovery"
}

# The service and whatever belongs to it, at once.
end_at_once()
{
    local pid
    pid=$(cat "$T/service.pid")
    # By session: its children are in groups of their own, and would end in their time.
    [ -z "$pid" ] || pkill -KILL -s "$pid" || true
    stop service KILL
    # (What has ended and waits for init to hear of it, which may take it a second, has ended.)
    wait_for 30 eval "! pgrep -s $pid -r DIRSTt >/dev/null"
}

make_a_burst() # $made: its files
{
    burst_number=$((burst_number + 1))
    local name
    name=$(printf 'B%04d' $burst_number)
    make_burst "made/$name" --width 48 --height 32 --serial $burst_number --seed $burst_number \
        --name "${name}_%02d" --start "2026-01-02T$(printf '%02d:%02d' $((burst_number / 60 % 24)) $((burst_number % 60))):00"
    made=("$T/made/$name"/*.jpg)
}

drop_burst()
{
    make_a_burst
    drop "${made[@]}"
    printf '%s\n' "${made[@]##*/}" >>"$T/dropped"
}

# Bursts one after the other, as long as `go` is there.
photograph()
{
    local file
    while [ -e "$T/go" ]; do
        make_a_burst
        printf '%s\n' "${made[@]##*/}" >>"$T/dropped"
        for file in "${made[@]}"; do
            drop "$file"
            sleep "0.$((RANDOM % 4))"
        done
        sleep "0.$((RANDOM % 9))"
    done
    echo $burst_number >"$T/photographed"
}

# In the background; those after it have other numbers.
start_photographing()
{
    touch "$T/go"
    photograph &
    photographer=$!
}

end_photographing()
{
    rm "$T/go"
    wait "$photographer"
    burst_number=$(cat "$T/photographed")
}

note_promises()
{
    [ -e "$T/service.err" ] || return 0
    sed -nE 's/.* frame ([^ ]*-)?((B|TEST)[0-9_]+\.(jpg|JPG)): .*/\2/p' "$T/service.err" >>"$T/promised.frames"
    sed -nE 's/.*stack (published|found): (.*) \([0-9]+ frames.*/\2/p' "$T/service.err" >>"$T/promised.outputs"
    sort -u -o "$T/promised.frames" "$T/promised.frames"
    sort -u -o "$T/promised.outputs" "$T/promised.outputs"
}

# Of the promised outputs those that are not there, or not whole: a picture has the size that
# stack.json says, and the end of a JPEG. In few processes, as there may be hundreds.
broken_outputs()
{
    local ask='"\(input_filename | rtrimstr("/stack.json"))/\(.output.stack.name)\t\(.output.stack.size_bytes)"'
    sed 's,$,/stack.json,' "$T/promised.outputs" >"$T/sidecars"
    # It ends at the first one that is no JSON: then one by one.
    { xargs -r -d '\n' jq -r "$ask" <"$T/sidecars" || xargs -r -d '\n' -n 1 jq -r "$ask" <"$T/sidecars" || true; } \
        2>/dev/null | sort -u >"$T/pictures.said"
    cut -f 1 "$T/pictures.said" | xargs -r -d '\n' stat -c $'%n\t%s' 2>/dev/null | sort >"$T/pictures.there" || true
    comm -12 "$T/pictures.said" "$T/pictures.there" | cut -f 1 >"$T/pictures"
    xargs -r -d '\n' tail -q -c 2 <"$T/pictures" | od -An -v -w2 -tx1 | paste "$T/pictures" - |
        sed -n 's,/[^/]*\t ff d9$,,p' | sort >"$T/outputs.whole"
    comm -23 <(sort "$T/promised.outputs") "$T/outputs.whole"
}

ask_journal() # SQL, of a copy, as the service would find it
{
    rm -rf "$T/copy"
    mkdir "$T/copy"
    cp "$DISK/state"/journal.sqlite* "$T/copy/" && rm -f "$T/copy/journal.sqlite-shm" &&
        sqlite3 "$T/copy/journal.sqlite" "$1"
}

# Directories that are published, whoever knows of them.
outputs()
{
    find "$DISK/outbox" -mindepth 1 -maxdepth 1 -name '[!.]*' | wc -l
}

more_than() # N COMMAND...: which says how many
{
    [ "$("${@:2}")" -gt "$1" ]
}

log_lines() # PATTERN
{
    grep -acE -- "$1" "$T/service.err" || true
}

check_promises()
{
    local missing dir
    note_promises
    if [ -s "$T/promised.frames" ]; then
        ask_journal "SELECT CAST(path AS TEXT) FROM files WHERE frame IS NOT NULL" | sed 's,.*[/-],,' |
            sort -u >"$T/known.frames" || true
        missing=$(comm -23 "$T/promised.frames" "$T/known.frames")
        if [ -n "$missing" ]; then
            echo "lost frames: "$missing
            lost=$((lost + $(wc -w <<<"$missing")))
        fi
    fi
    # Those that the journal takes for published as well, whether that was told or not.
    [ ! -e "$DISK/state/journal.sqlite" ] ||
        ask_journal "SELECT CAST(directory AS TEXT) FROM versions" >>"$T/promised.outputs"
    sort -u -o "$T/promised.outputs" "$T/promised.outputs"
    while read -r dir; do
        echo "lost output: $dir"
        lost=$((lost + 1))
    done < <(broken_outputs)
}

all_is_done()
{
    [ "$(ask_journal "SELECT count(*) FROM bursts WHERE state IN (0, 1)" 2>/dev/null)" = 0 ] &&
        [ "$(ask_journal "SELECT count(*) FROM frames WHERE burst IS NOT NULL")" -ge "$(wc -l <"$T/dropped")" ]
}

finish_all()
{
    local at_ms
    begin "$@"
    at_ms=$(now_ms)
    await_begin
    wait_for 120 all_is_done
    echo "undisturbed, all was done after $(($(now_ms) - at_ms)) ms"
    stop service
    [ "$stopped" -eq 0 ] || fail "the service ended with status $stopped"
    check_promises
    count_stacked
    [ -z "$(find "$DISK/outbox" -maxdepth 1 -name '.*' -mindepth 1)" ] || fail "left over: $(ls -A "$DISK/outbox")"
}

# Files are known by their names, which no two of a test have; those of a camera by the names on its card.
count_stacked()
{
    local json
    json=$(find "$DISK/outbox" -mindepth 2 -maxdepth 2 -name stack.json)
    # shellcheck disable=SC2086
    jq -r '. as $s | .frames[] | "\($s.burst) \($s.version) \(.path | split("/")[-1] | split("-")[-1])"' $json >"$T/stacked"
    # Of each frame the bursts it is in; of each burst only one output of a version.
    awk '{ print $3, $1 }' "$T/stacked" | sort -u | cut -d' ' -f1 >"$T/in_bursts"
    sort -u "$T/dropped" | comm -23 - <(sort -u "$T/in_bursts") >"$T/nowhere"
    if [ -s "$T/nowhere" ]; then
        echo "in no output: $(tr '\n' ' ' <"$T/nowhere")"
        lost=$((lost + $(wc -l <"$T/nowhere")))
    fi
    sort "$T/in_bursts" | uniq -d | sed 's/^/in two bursts: /' >"$T/twice"
    # shellcheck disable=SC2086
    jq -r '"\(.burst) \(.version)"' $json | sort | uniq -d | sed 's/^/in two outputs: /' >>"$T/twice"
    # A version of its own only for other frames.
    # shellcheck disable=SC2086
    jq -c '[.burst, ([.frames[].identity] | sort)]' $json | sort | uniq -d | cut -c 1-60 |
        sed 's/^/in two versions: /' >>"$T/twice"
    cat "$T/twice"
    twice=$((twice + $(wc -l <"$T/twice")))
}

# Of the worker or capture neither. (A hook's shell is not ours.) MORE: another pattern that must not be in the log.
has_not_crashed() # [MORE]
{
    ! grep -av "$T/hook failed: " "$T/service.err" |
        grep -aE "signal (11|6|7|8|4)( |$|:)|Sanitizer|Assertion|stack smashing|corrupted|double free${1:+|$1}" ||
        fail "it has crashed"
}

# After the round was ended at once: it has not crashed, and keeps its promises; then undisturbed, so
# that every round begins with nothing to do.
end_round() # ROUND [MORE]
{
    echo "end of round $1"
    has_not_crashed "${2:-}"
    check_promises
    [ $lost -eq 0 ] || cp service.err "service.err.$1"
    UNDER=()
    begin
    await_begin
    wait_for 60 all_is_done
    stop service
    [ "$stopped" -eq 0 ] || fail "the service ended with status $stopped"
    check_promises
}

recovery_text() # [FILE]
{
    sort -n "${1:-$T/recovery}" | awk '{ v[NR] = $1 } END {
        printf "%.2f s, at most %.2f s", v[int((NR + 1) / 2)] / 1000, v[NR] / 1000 }'
}

add_line() # FAILURE ROUNDS LOST TWICE RECOVERY
{
    local line name
    line=$(printf '%s | %s | %s | %s | %s' "$@")
    echo "$line"
    for name in "${FUNCNAME[@]}"; do
        [[ $name != test_* ]] || break
    done
    [ -z "${TABLE:-}" ] || printf '%s\t%s\n' "${name#test_}" "$line" >>"$TABLE"
}

report() # WHAT [ROUNDS [TIME_TO_RECOVER]]
{
    add_line "$1" "${2:-$ROUNDS}" "$lost" "$twice" "${3:-$(recovery_text)}"
    [ $lost -eq 0 ] || fail "$lost lost"
    [ $twice -eq 0 ] || fail "$twice stacked twice"
}
