# Each time another allocation of a whole program fails, alone or with all after it: a command says so and
# ends, or does its work whole; the service keeps what it has promised, and undisturbed it ends all its work.
# time limit: 2400
. "${BASH_SOURCE%/*}/../system/lib.sh"
. "${BASH_SOURCE%/*}/../system/serve.bash"
. "${BASH_SOURCE%/*}/torture.bash"

HUNGRY=$BUILD/tests/parfocal-without-memory

# How many there are in a run undisturbed: the most that any process of the role made.
allocations_of() # ROLE
{
    for count in "$T/allocations.$1".*; do
        od -An -t d8 "$count"
    done | sort -n | tail -n 1 | tr -d ' '
}

# One of them, of early ones more often: they are those of its setting up.
pick() # TOTAL
{
    local most=$1
    [ $((RANDOM % 2)) -eq 0 ] || most=$((most / 10 + 1))
    echo $(((RANDOM * 32768 + RANDOM) % most + 1))$([ $((RANDOM % 2)) -eq 0 ] || echo +)
}

# The command with an allocation failing, ROUNDS times. Its output is what it is with all of them, or it
# has failed, and has said so.
starve() # OUTPUT_FILE COMMAND...
{
    local file=$1 total which status
    shift
    rm -f allocations.* "$file"
    ALLOCATIONS_LOG=$T/allocations "$HUNGRY" "$@" >whole.out 2>whole.err
    [ ! -e "$file" ] || cp "$file" whole.file
    total=$(allocations_of "$1")
    [ "$total" -gt 0 ] || fail "$1 allocates nothing"
    for ((round = 0; round < ROUNDS; round++)); do
        which=$(pick "$total") status=0
        rm -f "$file"
        FAIL_ALLOCATION=$1:$which "$HUNGRY" "$@" >out 2>err </dev/null || status=$?
        [ $status -le 2 ] || { cat err; fail "$*: allocation $which of $total: status $status"; }
        if [ $status -ne 0 ]; then
            [ -s err ] || [ -s out ] || fail "$*: allocation $which of $total: it has failed without a word"
        elif ! grep -qi memory err; then
            # All but how long it took. (A frame that found no memory is named, and the others are stacked.)
            diff <(sed 's/[0-9.]* s$//' out) <(sed 's/[0-9.]* s$//' whole.out) ||
                fail "$*: allocation $which of $total: other words"
            [ "$file" = none ] || cmp -s "$file" whole.file ||
                fail "$*: allocation $which of $total: another picture"
        fi
    done
    starved=$((starved + ROUNDS))
}

test_commands_without_memory()
{
    rounds 2 60
    local starved=0 round
    make_burst burst --width 96 --height 64
    starve none config show
    starve stack.tif stack burst/IMG_000[123].jpg -o stack.tif --threads 1
    add_line "allocations of commands (config, stack) fail" $starved - - -
}

# Each of those with which a source sets itself up, one by one: few of them are picked by chance.
test_a_source_begins_without_memory()
{
    local n status said=0
    make_burst in --width 96 --height 64
    for ((n = 1; n <= 60; n++)); do
        status=0
        echo '{"cmd": "start"}' | FAIL_ALLOCATION=capture:$n "$HUNGRY" capture "folder:$T/in" >out 2>err || status=$?
        [ $status -le 2 ] || { cat err; fail "allocation $n: status $status"; }
        [ $status -eq 0 ] || [ -s err ] || fail "allocation $n: it has failed without a word"
        [ $status -eq 0 ] || said=$((said + 1))
    done
    [ $said -gt 10 ] || fail "$said of them were missed"
    add_line "allocations with which a capture process sets itself up fail, each of them" $((n - 1)) - - -
}

# What a page and a hook's owner would ask, while it goes badly.
ask_around()
{
    local what
    while :; do
        for what in status bursts frames sources settings troubles hooks openapi.json; do
            curl -s -m 2 -o /dev/null --unix-socket "$DISK/state/http" "http://localhost/api/v1/$what" || true
        done
        curl -s -m 2 -o /dev/null --unix-socket "$DISK/state/http" http://localhost/metrics || true
        curl -s -m 1 -o /dev/null --unix-socket "$DISK/state/http" http://localhost/api/v1/events || true
        sleep 0.1
    done
}

none_has_failed()
{
    [ "$(ask_journal "SELECT count(*) FROM bursts WHERE state NOT IN (2, 4)" 2>/dev/null)" = 0 ]
}

test_the_service_without_memory()
{
    need sqlite3 jq curl
    rounds 2 90
    at_end tail -n 30 "$T/service.err"
    local round role which before asks totals=() failed=0
    PARFOCAL=$HUNGRY
    printf '#!/bin/sh\nexec cat >/dev/null\n' >hook
    chmod +x hook
    # Undisturbed, for their counts; that makes the journal as well.
    ALLOCATIONS_LOG=$T/allocations begin --on-burst "$T/hook" --thumbnails 16 --mqtt 127.0.0.1:1
    await_begin
    drop_burst
    wait_for 60 all_is_done
    stop service
    for role in serve capture process; do
        totals+=("$(allocations_of $role)")
        [ "${totals[-1]}" -gt 0 ] || fail "no count of $role"
    done
    echo "allocations of serve, capture, process: ${totals[*]}"
    : >recovery
    for ((round = 0; round < ROUNDS; round++)); do
        case $((RANDOM % 4)) in 0) role=capture which=1 ;; 1) role=process which=2 ;; *) role=serve which=0 ;; esac
        which=$(pick "${totals[which]}")
        # Of a child: of each one that is started anew.
        FAIL_ALLOCATION=$role:$which begin --on-burst "$T/hook" --thumbnails 16 --mqtt 127.0.0.1:1
        drop_burst
        ask_around &
        asks=$!
        before=$(now_ms)
        until [ $(($(now_ms) - before)) -ge 5000 ] || grep -qa 'stack published' service.err ||
            ! kill -0 "$started" 2>/dev/null; do
            sleep 0.05
        done
        kill $asks 2>/dev/null || true
        wait $asks 2>/dev/null || true
        end_at_once
        failed=$((failed + $(grep -aciE 'out of memory|cannot allocate|no memory' service.err || true)))
        echo "round $round: $role:$which: $(grep -aoE 'stack published|out of memory[a-z ]*' service.err | sort | uniq -c | tr -s ' \n' ' ')"
        end_round $round 'is damaged|not a journal'
    done
    # A worker that dies three times in finishing makes its burst a failed one, until somebody asks again.
    begin
    await_begin
    kill -USR2 "$started"
    wait_for 120 none_has_failed
    stop service
    finish_all
    echo "words about memory: $failed"
    report "allocations of the service and its children fail"
}
