# parfocal serve: SIGKILL at any moment to any of its processes. Nothing is lost, nothing stacked
# twice. The moments are random by $PARFOCAL_SEED (printed).
# time limit: 300
# not under a sanitizer: what begins again is the same in serve_restart.sh
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"

KILLS=102
BURSTS=20

begin_service()
{
    start service "$PARFOCAL" serve --source "folder:$T/inbox" --outbox "$T/outbox" \
        --state "$T/state" --settle 0.05 --gap 1 --hold 0.2 --rescan-interval 0.5 --retries 100 \
        --format jpeg --no-depth-map --threads 2
}

# Every frame that was dropped is in the newest version of exactly one burst.
all_published()
{
    local wanted=$1
    [ "$(newest_versions | xargs -r jq -r '.frames[].identity' | sort -u | wc -l)" -eq "$wanted" ] &&
        idle
}

newest_versions()
{
    local dir
    for dir in $(published); do
        echo "$(jq -r '"\(.burst) \(.version)"' "$dir/stack.json") $dir/stack.json"
    done | sort -k1,1 -k2,2nr | awk '!seen[$1]++ { print $3 }'
}

# No burst is open or complete, in a copy of the journal.
idle()
{
    rm -rf "$T/copy"
    cp -r "$T/state" "$T/copy" 2>/dev/null &&
        [ "$(sqlite3 "$T/copy/journal.sqlite" "SELECT count(*) FROM bursts WHERE state IN (0, 1)")" = 0 ]
}

test_row22_kill_at_any_moment()
{
    need sqlite3 jq
    local seed=${PARFOCAL_SEED:-$RANDOM} i frames=() kills=0 service=0 capture=0 worker=0 target
    echo "PARFOCAL_SEED=$seed"
    RANDOM=$seed
    for ((i = 0; i < BURSTS; i++)); do
        make_burst "b$i" --width 160 --height 120 --serial "$i" --seed "$i" \
            --name "B$(printf %02d $i)_%02d" --start "2026-01-02T03:$(printf %02d $i):00"
        frames+=("b$i"/*.jpg)
    done
    mkdir_inbox
    at_end tail -n 40 "$T/service.err"
    local next=0 total=${#frames[@]}
    begin_service
    while [ $kills -lt $KILLS ]; do
        [ $next -ge "$total" ] || drop "${frames[next]}"
        next=$((next + 1))
        sleep "0.$(printf %03d $((RANDOM % 400)))"
        case $((kills % 3)) in
        0)
            stop service KILL
            service=$((service + 1)) kills=$((kills + 1))
            begin_service
            continue
            ;;
        1) target=capture ;;
        2) target=process ;;
        esac
        target=$(child_pid $target)
        # A child that is just being started again is waited for: it counts when it was hit.
        if [ -n "$target" ] && kill -KILL $target 2>/dev/null; then
            kills=$((kills + 1))
        fi
    done
    drop "${frames[@]:0:total}" # whatever had no turn; the rest is the same content again
    wait_for 60 all_published "$total"
    stop_service
    [ -z "$leftovers" ] || fail "left over: $leftovers"

    # One burst for each that was shot, with all its frames, and only once.
    [ "$(newest_versions | wc -l)" -eq $BURSTS ] || fail "bursts: $(newest_versions)"
    local json
    for json in $(newest_versions); do
        check "$json" '(.frames | length) == 5 and .fused == 5'
        [ "$(jq -r '.frames[].path | split("/")[-1][0:3]' "$json" | sort -u | wc -l)" -eq 1 ] ||
            fail "a mixture: $json"
        [ -s "${json%/*}/stack.jpg" ] || fail "no picture beside $json"
    done
    local twice
    twice=$(published | while read -r dir; do jq -r '"\(.burst) \(.version)"' "$dir/stack.json"; done |
        sort | uniq -d)
    [ -z "$twice" ] || fail "published twice: $twice"
    # A version of its own only for other frames.
    twice=$(published | while read -r dir; do
        jq -c '[.burst, ([.frames[].identity] | sort)]' "$dir/stack.json"
    done | sort | uniq -d)
    [ -z "$twice" ] || fail "stacked twice: $twice"
    echo "kills: $kills"
}

# The moments that random kills seldom hit: at each sync of the journal, and at the rename into the
# outbox, in turn.
test_row22_kill_at_every_commit()
{
    need_strace
    make_burst burst --width 160 --height 120
    mkdir_inbox
    serve # makes the journal
    await_log 'inotify, ok'
    stop_service
    cp -r state fresh
    drop burst/*.jpg
    local at service hits=0
    for at in renameat2:1 fdatasync:{1..11}; do
        rm -rf state outbox
        cp -r fresh state
        start killed strace -f -qq -e trace=renameat2,fdatasync -o /dev/null \
            -e "inject=${at%:*}:signal=KILL:when=${at#*:}" \
            "$PARFOCAL" serve --source "folder:$T/inbox" --outbox "$T/outbox" --state "$T/state" \
            --settle 0 --expected-frames 5 --format jpeg --no-depth-map
        service=$started
        killed_or_done()
        {
            ! kill -0 "$service" 2>/dev/null || grep -q 'stack published' killed.err
        }
        wait_for 20 killed_or_done
        grep -q 'stack published' killed.err || hits=$((hits + 1))
        kill -KILL -- "-$service" 2>/dev/null || true # what strace has let go
        stop killed KILL
        wait_for 10 eval "! pgrep -g $service >/dev/null"

        serve --expected-frames 5 --format jpeg --no-depth-map
        await_log 'inotify, ok'
        await_stacks 1
        wait_for 10 eval '! ls -d outbox/.*.partial >/dev/null 2>&1'
        stop_service
        [ "$(published | wc -l)" -eq 1 ] || fail "at $at: $(published)"
        check "$(published)/stack.json" '.fused == 5 and .version == 1'
    done
    echo "hits: $hits"
    [ $hits -ge 8 ] || fail "only $hits of the moments were met"
}
