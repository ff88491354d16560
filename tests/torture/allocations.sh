# Each time another allocation of a whole program fails, alone or with all after it: a command says so and
# ends, or does its work whole; the service keeps what it has promised, and undisturbed it ends all its work.
# time limit: 480, with TORTURE 2400
. "${BASH_SOURCE%/*}/../system/lib.sh"
. "${BASH_SOURCE%/*}/../system/serve.bash"
. "${BASH_SOURCE%/*}/torture.bash"
. "${BASH_SOURCE%/*}/../system/broker.bash"

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

# It has ended in order, and with a word if it has failed.
ended_well() # WHAT STATUS
{
    [ "$2" -le 2 ] || { cat err; fail "$1: status $2"; }
    [ "$2" -eq 0 ] || [ -s err ] || [ -s out ] || fail "$1: it has failed without a word"
}

# The command with an allocation failing, ROUNDS times, or each of them where there are no more. Its output is
# what it is with all of them, or it has failed, and has said so.
starve() # OUTPUT_FILE COMMAND...
{
    local file=$1 total which status
    shift
    rm -f allocations.* "$file"
    ALLOCATIONS_LOG=$T/allocations "$HUNGRY" "$@" >whole.out 2>whole.err || fail "$*: $(cat whole.err)"
    [ ! -e "$file" ] || cp "$file" whole.file
    total=$(allocations_of "$1")
    [ "$total" -gt 0 ] || fail "$1 allocates nothing"
    echo "$*: $total allocations"
    for ((round = 0; round < ROUNDS && round < 2 * total; round++)); do
        which=$(pick "$total") status=0
        [ "$ROUNDS" -lt $((2 * total)) ] || which=$((round / 2 + 1))$([ $((round % 2)) -eq 0 ] || echo +)
        rm -f "$file"
        FAIL_ALLOCATION=$1:$which "$HUNGRY" "$@" >out 2>err </dev/null || status=$?
        ended_well "$*: allocation $which of $total" $status
        if [ $status -eq 0 ] && ! grep -qi memory err; then
            # All but how long it took. (A frame that found no memory is named, and the others are stacked.)
            diff <(sed 's/[0-9.]* s$//' out) <(sed 's/[0-9.]* s$//' whole.out) ||
                fail "$*: allocation $which of $total: other words"
            # (When elastix is stopped depends on how long it takes.)
            [ "$file" = none ] || [[ " $* " == *' bspline '* ]] || cmp -s "$file" whole.file ||
                fail "$*: allocation $which of $total: another picture"
        fi
        starved=$((starved + 1))
    done
}

test_commands_without_memory()
{
    rounds 2 400
    local starved=0 round
    make_burst burst --width 96 --height 64
    starve none config show
    starve none config check --source folder:in
    starve stack.tif stack burst/IMG_000[123].jpg -o stack.tif --threads 1
    add_line "allocations of commands (config, stack) fail" $starved - - -
}

# Each way to align and to fuse, and each file that is read or written.
test_stacks_without_memory()
{
    rounds 1 40
    local starved=0 round align method kind kinds=(tiff png dng nef cr2 cr3 raf rw2 orf) aligns methods
    aligns=(ecc orb akaze sift hybrid flow none) methods=(soft-depth average)
    [ -z "$TORTURE" ] || ! command -v elastix >/dev/null || aligns+=(bspline) # takes its time
    make_burst burst --width 192 --height 128 --frames 3
    # A short run has one of each kind.
    [ -n "$TORTURE" ] || {
        aligns=("${aligns[RANDOM % ${#aligns[@]}]}") methods=(average)
        kinds=("${kinds[RANDOM % ${#kinds[@]}]}")
    }
    for align in "${aligns[@]}"; do
        starve stack.tif stack burst/*.jpg -o stack.tif --threads 1 --align "$align"
    done
    for method in "${methods[@]}"; do
        starve stack.png stack burst/*.jpg -o stack.png --threads 1 --fuse "$method"
    done
    for kind in "${kinds[@]}"; do
        make_burst "in.$kind" --format "$kind" --frames 2 --width 192 --height 128
        starve stack.jpg stack "in.$kind"/* -o stack.jpg --threads 1 --align none --depth-map depth.png
    done
    add_line "allocations of a stack fail: ${aligns[*]}; ${methods[*]}; of ${kinds[*]}" $starved - - -
}

# Its memory, clock and disk are never the same: only that it ends in order.
test_doctor_without_memory()
{
    rounds 2 300
    local round total which status
    mkdir_inbox
    printf 'source = folder:%s\noutbox = %s\nstate = %s\n' "$T/inbox" "$T/outbox" "$T/state" >conf
    ALLOCATIONS_LOG=$T/allocations "$HUNGRY" doctor -c conf >whole.out 2>&1 || true
    total=$(allocations_of doctor)
    echo "doctor: $total allocations"
    for ((round = 0; round < ROUNDS; round++)); do
        which=$(pick "$total") status=0
        FAIL_ALLOCATION=doctor:$which "$HUNGRY" doctor -c conf >out 2>err </dev/null || status=$?
        ended_well "doctor: allocation $which of $total" $status
    done
    add_line "allocations of doctor fail" "$ROUNDS" - - -
}

# Each of those with which a source sets itself up, one by one: few of them are picked by chance.
test_a_source_begins_without_memory()
{
    local n status said=0
    make_burst in --width 96 --height 64
    for ((n = 1; n <= 60; n++)); do
        status=0
        echo '{"cmd": "start"}' | FAIL_ALLOCATION=capture:$n "$HUNGRY" capture "folder:$T/in" >out 2>err || status=$?
        ended_well "allocation $n" $status
        [ $status -eq 0 ] || said=$((said + 1))
    done
    [ $said -gt 10 ] || fail "$said of them were missed"
    add_line "allocations with which a capture process sets itself up fail, each of them" $((n - 1)) - - -
}

# capture_all FRAMES SOURCE [OPTIONS]: the capture process until it has told so many frames, has ended, or has
# had its time; its status in $status
capture_all()
{
    local frames=$1 end=$((SECONDS + ${SAN:+3 *} 20))
    # One to which no allocation succeeds any more may wait for ever, and tell nothing.
    [[ ${FAIL_ALLOCATION:-} != *+ ]] || end=$((SECONDS + 6))
    shift
    rm -f commands
    mkfifo commands
    : >out
    "$HUNGRY" capture "$@" <commands >out 2>err &
    exec 7>commands
    (echo '{"cmd": "start"}' >&7) 2>/dev/null || true # it may have ended
    until [ "$(grep -c '"event":"frame"' out)" -ge "$frames" ] || ! kill -0 $! 2>/dev/null || [ $SECONDS -gt $end ]; do
        sleep 0.05
    done
    exec 7>&-
    status=0
    wait $! || status=$?
}

# One allocation of a source fails: it ends with a word, to be started again, or it tells each frame, none twice.
starve_source() # FRAMES SOURCE [OPTIONS]
{
    local total which status round
    rm -rf allocations.* spool
    ALLOCATIONS_LOG=$T/allocations capture_all "$@"
    [ "$(grep -c '"event":"frame"' out)" -eq "$1" ] || fail "$2: $(grep -c '"event":"frame"' out) frames of $1: $(cat err)"
    total=$(allocations_of capture)
    echo "$2: $total allocations"
    for ((round = 0; round < ROUNDS; round++)); do
        which=$(pick "$total")
        rm -rf spool
        FAIL_ALLOCATION=capture:$which capture_all "$@"
        ended_well "$2: allocation $which of $total" $status
        if [ $status -eq 0 ] && [[ $which != *+ ]]; then
            [ "$(jq -r 'select(.event == "frame") | .id' out | sort -u | wc -l)" -eq "$1" ] ||
                fail "$2: allocation $which of $total: frames are missing: $(cat out err)"
        fi
        starved=$((starved + 1))
    done
}

test_sources_without_memory()
{
    need jq
    rounds 1 25
    local starved=0 kind kinds=(jpeg tiff png dng nef arw orf cr2 rw2 cr3 raf)
    [ -n "$TORTURE" ] || kinds=("${kinds[RANDOM % ${#kinds[@]}]}")
    for kind in "${kinds[@]}"; do
        make_burst "in.$kind" --format "$kind" --frames 3 --width 96 --height 64
        starve_source 3 "folder:$T/in.$kind" --settle 0.02 --rescan-interval 0.3
    done
    . "$ROOT/tests/system/camera.bash"
    make_burst files --frames 3
    camera body files
    tell shoot 3 20
    wait_for 10 none_left
    starve_source 3 "camera:$camera_port" --card all --spool "$T/spool" --poll-interval 0.3
    add_line "allocations of a capture process fail: a folder of ${kinds[*]}; a camera" $starved - - -
}

ask() # WHAT [OPTIONS OF CURL]
{
    curl -s -m 2 --unix-socket "$DISK/state/http" "${@:2}" "http://localhost/api/v1/$1"
}

# What a page and a hook's owner would ask, and tell it to do, while it goes badly.
ask_around()
{
    local what burst frame asked
    while :; do
        for what in status bursts frames sources settings deliveries openapi.json \
            'bursts?camera=x&state=published' nothing; do
            ask "$what" >/dev/null || true
        done
        burst=$(ask bursts | jq -r '.bursts[0].id // "none"' 2>/dev/null) || true
        frame=$(ask "bursts/$burst" | jq -r '.items[0].frame // "none"' 2>/dev/null) || true
        for what in "bursts/$burst/preview.jpg" "bursts/$burst/tiles/stack/0/0/0.jpg" "bursts/$burst/maps/depth.jpg" \
            "frames/$frame" "frames/$frame/thumbnail.jpg" "bursts/$burst/versions/1/stack.json"; do
            ask "$what" >/dev/null || true
        done
        # What is finished by hand has its five frames: what comes behind is another burst's, and alone no stack.
        asked=(scan retry "bursts/$burst/retry" sources/0/camera)
        [ "$(ask "bursts/$burst" | jq '.items | length' 2>/dev/null)" != 5 ] || asked+=(finish "bursts/$burst/finish")
        for what in "${asked[@]}"; do
            ask "$what" -X POST -H 'Content-Type: application/json' -d '{"get": "iso"}' >/dev/null || true
        done
        ask settings -X PATCH -H 'Content-Type: application/json' -d '{"jpeg_quality": 91}' >/dev/null || true
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
    rounds 2 60
    at_end tail -n 30 "$T/service.err"
    local round role which before asks totals=() failed=0 options mqtt=127.0.0.1:1
    # A broker and a receiver of hooks, where they are.
    ! command -v mosquitto >/dev/null || { broker && mqtt=127.0.0.1:$port; }
    mkdir posts
    start receiver "$BUILD/tests/receiver/receiver" "$T/posts"
    wait_for 10 test -e posts/port
    options=(--on-burst "$T/hook" --on-burst "http://127.0.0.1:$(cat posts/port)/" --hook-backoff 0.2
        --thumbnails 16 --mqtt "$mqtt")
    PARFOCAL=$HUNGRY
    printf '#!/bin/sh\nexec cat >/dev/null\n' >hook
    chmod +x hook
    # Undisturbed, for their counts; that makes the journal as well.
    ALLOCATIONS_LOG=$T/allocations begin "${options[@]}"
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
        FAIL_ALLOCATION=$role:$which begin "${options[@]}"
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
