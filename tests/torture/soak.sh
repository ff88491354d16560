# A soak under load, for SOAK seconds (30 minutes in `make torture`): every process is killed, and stopped, at
# random moments; most stops are short, some are longer than what the process may be silent. A hook is told of each
# stack, and a browser asks, and hears of all events. In the second half the service itself is only stopped, in the
# last quarter nobody is killed: over the second half of the service and that quarter of its children memory and
# descriptors must be flat, in one process each.
# time limit: 480, with TORTURE 2700
. "${BASH_SOURCE%/*}/../system/lib.sh"
. "${BASH_SOURCE%/*}/../system/serve.bash"
. "${BASH_SOURCE%/*}/torture.bash"

ROLES=(service capture process)
LIMIT=8 # seconds that a child may be silent

pid_of() # ROLE
{
    if [ "$1" = service ]; then
        cat service.pid
    else
        child_pid "$1" | head -n 1
    fi
}

# Second, process, resident KiB and descriptors of each, and how many files there are.
sample()
{
    local role pid
    for role in "${ROLES[@]}"; do
        pid=$(pid_of "$role")
        [ -z "$pid" ] || echo "$SECONDS $pid $(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status") $(ls "/proc/$pid/fd" | wc -l) $(wc -l <dropped)" \
            >>"samples.$role" || true
    done
}

# Of the process that was there at the end, without the first third of its samples, in which it fills what it keeps:
# the line through the rest (least squares) at its two ends, the descriptors of both halves, its slope, the seconds
# and what it may grow by in them: half a megabyte that counts for nothing, MB_PER_HOUR, and for each file that
# capture keeps in mind FILE_BYTES. "MB MB DESCRIPTORS DESCRIPTORS MB/H SECONDS MB"
growth() # ROLE
{
    awk -v per_file=$([ "$1" = capture ] && echo $FILE_BYTES || echo 0) -v per_hour=$MB_PER_HOUR '
        NF == 5 { last = $2; t[last, ++n[last]] = $1; r[last, n[last]] = $3 / 1024; f[last, n[last]] = $4; files[last, n[last]] = $5 }
        END {
            all = n[last]
            from = int(all / 3) + 1
            k = all - from + 1
            span = t[last, all] - t[last, from]
            if (k < 4 || !span)
                exit
            for (i = from; i <= all; i++) {
                x = t[last, i] - t[last, from]
                sx += x; sy += r[last, i]; sxx += x * x; sxy += x * r[last, i]
                if (i - from < int(k / 2)) fa += f[last, i] / int(k / 2)
                else fb += f[last, i] / (k - int(k / 2))
            }
            slope = (k * sxy - sx * sy) / (k * sxx - sx * sx)
            begin = (sy - slope * sx) / k
            printf "%.1f %.1f %.1f %.1f %+.1f %d %.1f\n", begin, begin + slope * span, fa, fb, slope * 3600, span,
                0.5 + per_hour * span / 3600 + per_file * (files[last, all] - files[last, from]) / 1048576
        }' "samples.$1"
}
MB_PER_HOUR=2
FILE_BYTES=1024

# What has begun before `at` is over once there is a stack more than `before`.
await_next_stack() # FILE
{
    wait_for 90 more_than "$before" outputs
    echo $(($(now_ms) - at)) >>"$1"
}

# The service has noticed what it says of a child that is silent.
stop_for_long() # ROLE PID
{
    local said words
    case $1 in
    process) words='the worker has ended: it hung and was ended' ;;
    capture) words='it has not answered for' ;;
    service) words= ;;
    esac
    said=$([ -z "$words" ] || log_lines "$words")
    kill -STOP "$2" 2>/dev/null || return 0
    if [ -z "$words" ]; then
        sleep $((LIMIT + 4))
    else
        # It is missed once there is something to do for it.
        wait_for 60 more_than "$said" log_lines "$words"
    fi
    if [ "$1" = process ]; then
        wait_for 30 eval "[ -n \"\$(child_pid process)\" ] && [ \"\$(child_pid process)\" != $2 ]"
    else
        kill -CONT "$2"
    fi
    long[$1]=$((long[$1] + 1))
    await_next_stack recovery.silent
}

# One process is hit, by KILL, by STOP for a while, or by LONG.
hit() # ROLE HOW
{
    local pid before at
    pid=$(pid_of "$1")
    [ -n "$pid" ] || return 0
    before=$(outputs) at=$(now_ms)
    case $2 in
    KILL)
        if [ "$1" = service ]; then
            stop service KILL
            note_promises
            only_ours_have_ended
            begin "${options[@]}"
            await_begin
        else
            kill -KILL "$pid" 2>/dev/null || return 0
        fi
        await_next_stack "recovery.$1"
        ;;
    STOP)
        kill -STOP "$pid" 2>/dev/null || return 0
        sleep "$((RANDOM % 3)).$((RANDOM % 10))"
        kill -CONT "$pid" 2>/dev/null || true
        ;;
    LONG) stop_for_long "$1" "$pid" ;;
    esac
    hits=$((hits + 1))
}

# By the log, no child has ended but by what was done to it here.
only_ours_have_ended()
{
    has_not_crashed
    ! grep -aE ' has ended: ' service.err | grep -avE 'killed by signal 9 |it hung and was ended' ||
        fail "a process has ended by itself"
}

test_kill_and_stop_in_a_soak()
{
    need sqlite3 jq curl
    rounds 1 1
    local soak=${SOAK:-$([ -z "$TORTURE" ] && echo 8 || echo 1800)} hits=0 who how begun left what flat= uneven= text=
    local options=(--worker-timeout $LIMIT --folder-timeout $LIMIT) browser
    declare -A long=([service]=0 [capture]=0 [process]=0)
    at_end tail -n 30 "$T/service.err"
    touch samples.{service,capture,process}
    tell_of_stacks
    begin "${options[@]}"
    await_begin
    start_photographing
    browse &
    browser=$!
    begun=$SECONDS
    while left=$((begun + soak - SECONDS)) && [ $left -gt 0 ]; do
        who=${ROLES[RANDOM % 3]}
        case $((RANDOM % 16)) in [0-7]) how=KILL ;; 8) how=LONG ;; *) how=STOP ;; esac
        [ $((4 * left)) -gt $((2 * soak)) ] || [ $who != service ] || [ $how != KILL ] || how=STOP
        [ $((4 * left)) -gt "$soak" ] || how=STOP
        # A short soak has no time for a long stop.
        [ $how != LONG ] || [ -n "$TORTURE" ] || how=STOP
        hit $who $how
        [ $((4 * left)) -gt $((2 * soak)) ] || sample
        sleep "$((RANDOM % 2)).$((RANDOM % 10))"
    done
    end_photographing
    stop service
    wait $browser || true
    [ "$stopped" -eq 0 ] || fail "the service ended with status $stopped"
    only_ours_have_ended
    : >recovery
    finish_all
    echo "$(sort -u told | wc -l) stacks told to the hook, $(wc -l <heard) events heard, $(grep -c 200 asked) answers"
    [ -s told ] && [ -s heard ] && grep -q 200 asked || fail 'nothing was told, heard or answered'
    # What the service may grow by has an end that is reached before: events (service/events.h), SQLite's page
    # cache (2 MB) and what the grouper remembers of PF_GROUPER_REMEMBERS bursts.
    for who in "${ROLES[@]}"; do
        what=$(growth $who)
        [ -n "$what" ] || continue
        flat+="; $who $(awk '{ printf "%s MB then %s MB (%s MB/h; at most %s MB more), %s descriptors then %s, in %s s", $1, $2, $5, $7, $3, $4, $6 }' <<<"$what")"
        # Of descriptors three more count.
        awk '{ exit $2 - $1 > $7 || $4 > $3 + 3 }' <<<"$what" || uneven+=" $who"
    done
    for who in "${ROLES[@]}" silent; do
        [ ! -s "recovery.$who" ] || text+="${text:+; }$who $(recovery_text "$T/recovery.$who")"
    done
    echo "hits: $hits; long stops: ${long[*]}; ${flat#; }"
    # Every hit is a round.
    report "SIGKILL and SIGSTOP of each process, soak of $soak s under load (long stops of service, capture, worker: ${long[service]}, ${long[capture]}, ${long[process]}${flat})" \
        $hits "to the next stack: $text (with the $LIMIT s that are waited)"
    [ "$soak" -lt 600 ] || [ -z "$uneven" ] || fail "not flat:$uneven: $flat"
    [ "$soak" -lt 600 ] || [ $((long[service] * long[capture] * long[process])) -gt 0 ] || fail "a long stop is missing"
}
