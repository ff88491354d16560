# Load: many frames at start, many bursts in the journal, many sources, a very long burst. Figures are
# told, and fail where they show a fault of kind: something lost, or work that grows with the square.
# time limit: 480, with TORTURE 5000
# not under a sanitizer: the service is the same in other tests, and here it is only busy for longer
. "${BASH_SOURCE%/*}/../system/lib.sh"
. "${BASH_SOURCE%/*}/../system/serve.bash"
. "${BASH_SOURCE%/*}/torture.bash"

size() # SHORT LONG
{
    [ -z "$TORTURE" ] && echo "$1" || echo "$2"
}

# Processor seconds of the service and of its children until now: "service capture process".
cpu_of()
{
    local pid
    for pid in $(cat service.pid) $(child_pid capture | head -n 1) $(child_pid process | head -n 1); do
        awk '{ sub(/.*\) /, ""); print ($12 + $13) / 100 }' "/proc/$pid/stat"
    done | tr '\n' ' '
}

peak_mb() # role: service, capture or process
{
    local pid
    pid=$([ "$1" = service ] && cat service.pid || child_pid "$1" | head -n 1)
    awk '/^VmHWM/ { printf "%.0f", $2 / 1024 }' "/proc/$pid/status"
}

frames_are()
{
    [ "$(sqlite3 -readonly state/journal.sqlite 'SELECT count(*) FROM frames' 2>/dev/null || echo 0)" -ge "$1" ]
}

serve_load()
{
    serve --format jpeg --no-depth-map --thumbnails 0 --threads 1 "$@"
}

# An archive of single frames, shot an hour apart: none is a stack, all are recorded. Then a burst.
test_load_100000_frames_at_start()
{
    need sqlite3
    local count from took again cpu
    count=$(size 1000 100000)
    rounds 1 1
    make_burst template --frames 1 --width 48 --height 32
    "$BUILD/tests/torture/many" inbox "$count" 3600 template/IMG_0001.jpg
    from=$(now_ms)
    serve_load
    wait_for $((60 + count / 50)) frames_are "$count"
    took=$(($(now_ms) - from))
    cpu=$(cpu_of)
    echo "$count frames recorded after $took ms; processor seconds $cpu; peak MB $(peak_mb service), $(peak_mb capture)"
    local peak
    peak="$(peak_mb service) MB service, $(peak_mb capture) MB capture"
    # Once more, all known: the first scan is over when a burst has become a stack.
    stop service KILL
    make_burst burst --name last_%02d
    from=$(now_ms)
    serve_load --expected-frames 5
    drop burst/*.jpg
    await_stacks 1 $((60 + count / 500))
    again=$(($(now_ms) - from))
    check "$(published)/stack.json" '.fused == 5'
    stop_service
    lost=$((count + 5 - $(sqlite3 state/journal.sqlite 'SELECT count(*) FROM frames')))
    printf '%s\n' burst/*.jpg | sed 's,.*/,,' >dropped
    count_stacked
    report "load: $count frames in one tree at start ($(awk -v c="$cpu" 'BEGIN { split(c, p, " "); printf "processor: %.1f s service, %.1f s capture", p[1], p[2] }'); peak $peak)" \
        1 "recorded in $((took / 1000)).$((took % 1000 / 100)) s; started again with a new burst: stack after $((again / 1000)).$((again % 1000 / 100)) s"
}

# What the page and programs ask, each question from the newest page on: "95TH-PERCENTILE MEDIAN QUESTION" in
# milliseconds of processor time of the service's loop, which is what a request costs whatever else the
# machine does; it is what stands still meanwhile. By the clock: to the file `walls`.
ask_pages()
{
    local what next before after pid i
    pid=$(cat service.pid)
    for what in '' 'verdict=aside' 'verdict=fused' 'state=published' 'state=failed' 'camera=z+8' 'camera=nobody' \
        'from=2018-01-01' 'to=2017-08-01' 'verdict=aside&camera=canon&state=published' \
        'verdict=fused&camera=canon&from=2017-08-01&to=2018-01-01' 'verdict=aside&camera=105&state=failed'; do
        next=
        : >times
        for ((i = 0; i < $(size 5 40); i++)); do
            read -r before _ <"/proc/$pid/task/$pid/schedstat"
            curl -sS -f -o page.json -w '%{time_total}\n' --unix-socket state/http \
                "http://localhost/api/v1/bursts?$what${next:+&before=$next}" >>walls
            read -r after _ <"/proc/$pid/task/$pid/schedstat"
            echo $((after - before)) >>times
            next=$(jq -r '.next // empty' page.json)
        done
        sort -n times | awk -v what="bursts?$what" \
            '{ v[NR] = $1 / 1e6 } END { printf "%.1f %.1f %s\n", v[int(NR * 0.95 + 0.5)], v[int((NR + 1) / 2)], what }'
    done
}

load_says() # NAME: of the last lines of journal_load
{
    sed -n "s/^$1 //p" load.out
}

# A short run fails by none of the times: that no question looks at more than it has to is counted in
# tests/unit/test_journal_questions.c, which is the same on every machine.
test_load_10000_bursts_in_the_journal()
{
    local count slowest asked p95 median what wall
    need curl jq
    count=$(size 300 10000)
    "$BUILD/tests/torture/journal_load" state "$count" >load.out || fail "$(cat load.out)"
    grep -v '^search' load.out
    slowest=$(load_says "slowest p95")
    [ -z "$TORTURE" ] || awk -v s="$slowest" 'BEGIN { exit s >= 10 }' ||
        fail "$(load_says 'slowest is') takes $slowest ms of processor time (95th percentile)"
    # The same through a service, page after page, as the browser goes through them.
    mkdir_inbox
    serve_load --http off
    wait_for 30 [ -S state/http ]
    [ -r "/proc/$(cat service.pid)/task/$(cat service.pid)/schedstat" ] || skip 'the kernel counts no processor time of threads'
    asked=$(ask_pages)
    echo "$asked"
    stop_service
    read -r p95 median what < <(sort -n <<<"$asked" | tail -n 1)
    wall=$(sort -n walls | awk '{ v[NR] = $1 * 1000 } END { printf "median %.1f ms, at most %.1f ms", v[int((NR + 1) / 2)], v[NR] }')
    [ -z "$TORTURE" ] || awk -v s="$p95" 'BEGIN { exit s >= 10 }' ||
        fail "a page of $what takes $p95 ms of the service's processor time (95th percentile)"
    add_line "load: $count bursts of 10 frames in the journal ($(load_says questions) questions, of processor time the slowest $(load_says 'slowest median') ms, 95th percentile $slowest ms; by the clock $(load_says 'median by the clock') ms, with nothing in the page cache at most $(load_says 'worst cold') ms; a page of 50 of /api/v1/bursts, the slowest question: $median ms of processor time, 95th percentile $p95 ms; by the clock of all $wall)" \
        1 - - "$(sed -n 's/^opening: //p' load.out) to open, $(sed -n 's/^opening, with its check: //p' load.out) with its check"
}

test_load_four_sources_at_once()
{
    local i j from took bursts
    need jq
    bursts=$(size 1 10)
    rounds 1 1
    local options=()
    for i in 1 2 3 4; do
        mkdir -p "in$i"
        options+=(--source "folder:$T/in$i")
        for ((j = 0; j < bursts; j++)); do
            make_burst "b$i.$j" --name "S${i}_${j}_%02d" --serial $i --seed $((10 * i + j)) --width 160 --height 120 \
                --start "2026-01-02T03:$(printf %02d $j):0$i"
        done
    done
    printf '%s\n' b*/*.jpg | sed 's,.*/,,' >dropped
    serve_load "${options[@]}" --expected-frames 5
    await_log 'worker ready'
    from=$(now_ms)
    for i in 1 2 3 4; do
        for ((j = 0; j < bursts; j++)); do
            mkdir "in$i/$j"
            cp "b$i.$j"/*.jpg "in$i/$j/"
        done &
    done
    await_stacks $((4 * bursts)) 300
    took=$(($(now_ms) - from))
    stop_service
    [ "$(published | wc -l)" -eq $((4 * bursts)) ] || fail "published: $(published)"
    local json
    for json in $(published); do
        check "$json/stack.json" '.fused == 5 and ([.frames[].path | split("/")[-3]] | unique | length) == 1'
    done
    count_stacked
    report "load: four sources at once, $bursts bursts of 5 frames each" 1 \
        "all out after $((took / 1000)).$((took % 1000 / 100)) s"
}

# The processor time that a burst of N frames takes, aligned and judged as by default: service, capture, worker.
long_burst() # N
{
    rm -rf inbox outbox state long
    mkdir_inbox
    mkdir long
    "$BUILD/tests/torture/many" long "$1" 1 "$T/template/IMG_0001.jpg"
    serve_load --gap 20 --expected-frames "$1"
    await_log 'worker ready'
    mv long inbox/
    await_stacks 1 $((60 + $1 / 4))
    cpu=$(cpu_of)
    peaks="$(peak_mb service) $(peak_mb process)"
    check "$(published)/stack.json" "(.frames | length) == $1 and .fused == $1"
    stop_service
    find inbox -name '*.jpg' -printf '%f\n' >dropped
    count_stacked
}

test_load_a_burst_of_2000_frames()
{
    local few many cpu peaks first first_peaks
    rounds 1 1
    many=$(size 200 2000)
    few=$((many / 4))
    make_burst template --frames 1 --width 64 --height 48
    long_burst $few
    first=$cpu first_peaks=$peaks
    echo "$few frames: processor seconds $cpu; peak MB $peaks"
    long_burst "$many"
    echo "$many frames: processor seconds $cpu; peak MB $peaks"
    # Four times the frames: four times the work, and something; of the square it would be sixteen.
    awk -v a="$first" -v b="$cpu" 'BEGIN {
        split(a, x, " "); split(b, y, " ")
        for (i = 1; i <= 3; i++)
            if (y[i] > 1 && y[i] > 8 * x[i] + 0.5)
                exit 1
    }' || fail "more than in proportion: $first, then $cpu"
    report "load: a burst of $many frames, aligned and judged as by default (processor, service/capture/worker: $(echo $cpu | tr ' ' /) s; of a quarter of it $(echo $first | tr ' ' /) s; peak $(echo $peaks | tr ' ' /) MB service/worker)" \
        1 -
}
