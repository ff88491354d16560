# A soak under load: every process is killed and stopped at random moments, for SOAK seconds (30 minutes
# in `make torture`). In the second half the service itself is only stopped, never killed, and its
# memory and descriptors must be flat.
# time limit: 2400
. "${BASH_SOURCE%/*}/../system/lib.sh"
. "${BASH_SOURCE%/*}/../system/serve.bash"
. "${BASH_SOURCE%/*}/torture.bash"

# Second, resident KiB and descriptors of the service.
sample()
{
    local pid
    pid=$(cat service.pid)
    echo "$SECONDS $(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status") $(ls "/proc/$pid/fd" | wc -l)" >>samples
}

thirds() # FILE: means over the second and the last third of the samples
{
    awk '{ r[NR] = $2; f[NR] = $3 } END {
        n = int(NR / 3)
        for (i = 1; i <= n; i++) { a += r[n + i]; fa += f[n + i]; b += r[NR + 1 - i]; fb += f[NR + 1 - i] }
        if (n)
            printf "%.1f MB then %.1f MB, %.1f descriptors then %.1f", a / n / 1024, b / n / 1024, fa / n, fb / n
    }' "$1"
}

# One process is hit: service, capture or process, by KILL or for a while by STOP.
hit()
{
    local who=$1 how=$2 pid
    if [ "$who" = service ]; then
        pid=$(cat service.pid)
    else
        pid=$(child_pid "$who" | head -n 1)
    fi
    [ -n "$pid" ] || return 0
    if [ "$how" = KILL ] && [ "$who" = service ]; then
        stop service KILL
        note_promises
        begin
        await_begin
    elif [ "$how" = KILL ]; then
        kill -KILL "$pid" 2>/dev/null || return 0
    else
        kill -STOP "$pid" 2>/dev/null || return 0
        sleep "$((RANDOM % 3)).$((RANDOM % 10))"
        kill -CONT "$pid" 2>/dev/null || true
    fi
    hits=$((hits + 1))
}

test_kill_and_stop_in_a_soak()
{
    need sqlite3 jq
    rounds 1 1
    local soak=${SOAK:-$([ -z "$TORTURE" ] && echo 8 || echo 1800)} hits=0 who how half last
    at_end tail -n 30 "$T/service.err"
    : >samples
    begin
    await_begin
    start_photographing
    half=$((SECONDS + soak / 2)) last=$((SECONDS + soak))
    while [ $SECONDS -lt $last ]; do
        case $((RANDOM % 3)) in 0) who=service ;; 1) who=capture ;; *) who=process ;; esac
        how=$([ $((RANDOM % 2)) -eq 0 ] && echo KILL || echo STOP)
        # Its memory is looked at over the second half: one process for all of it.
        [ $SECONDS -lt $half ] || [ $who = capture ] || [ $who = process ] || how=STOP
        hit $who $how
        [ $SECONDS -lt $half ] || sample
        sleep "$((RANDOM % 2)).$((RANDOM % 10))"
    done
    end_photographing
    stop service
    [ "$stopped" -eq 0 ] || fail "the service ended with status $stopped"
    finish_all
    # What it may grow by has an end that is reached before: events (service/events.h), SQLite's page
    # cache (2 MB) and what the grouper remembers of PF_GROUPER_REMEMBERS bursts.
    local flat
    flat=$(thirds samples)
    echo "hits: $hits; second and last third of the second half: $flat"
    # Every hit is a round.
    report "SIGKILL and SIGSTOP of each process, soak of $soak s under load${flat:+ ($flat)}" $hits
    # A growth that counts is of a twentieth and 1 MB, or of three descriptors; in a long soak only.
    [ -z "$TORTURE" ] || thirds samples | awk '{ exit $4 > 1.05 * $1 + 1 || $9 > $6 + 3 }' || fail "not flat: $flat"
}
