# Harness of the system tests. A file tests/system/X.sh begins with
#     . "${BASH_SOURCE%/*}/lib.sh"
# and defines functions test_NAME; they run when the file has been read, in its order, each in a
# subshell with `set -eu` in an empty directory $T of its own (also the working directory), where
# whatever is left running or mounted is ended afterwards. One line each: "ok NAME",
# "FAIL NAME: why", "skip NAME: why"; a failed test's output goes before its line.
# Arguments are parts of names: `tests/system/cli.sh help` runs test_help*.
#
#   $PARFOCAL  $GENERATE  $COMPARE   the programs of this build (absolute)
#   $SAN                  sanitizers of this build, or empty
#   fail "why"            the test has failed (works in subshells and pipelines too)
#   skip "why"            the test cannot run here
#   need COMMAND...       skip unless all are installed
#   need_strace           skip unless strace can trace the programs
#   wait_for SECONDS COMMAND...   until the command succeeds; fails after SECONDS (x3 with SAN)
#   expect_status N COMMAND...    runs it, output to $T/out and $T/err; fails unless it exits with N
#   start NAME COMMAND...         in the background, output to $T/NAME.out and .err, process id in
#                                 $T/NAME.pid and $started
#   stop NAME [SIGNAL]            sends SIGTERM (or SIGNAL), waits, its status in $stopped
#   at_end COMMAND...             run when the test has ended, last one first
#
# Time limit of a file: 240 s; another one by a line "# time limit: SECONDS[, with TORTURE SECONDS]" in it.

ROOT=$(cd "${BASH_SOURCE%/*}/../.." && pwd)
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$ROOT/$BUILD ;; esac
PARFOCAL=${PARFOCAL:-$BUILD/parfocal}
GENERATOR=$BUILD/tests/generate
GENERATE=${GENERATE:-$ROOT/tests/system/generate.bash}
COMPARE=${COMPARE:-$BUILD/tests/compare}
SAN=${SAN:-}
export ROOT BUILD PARFOCAL GENERATOR GENERATE COMPARE SAN LC_ALL=C.UTF-8

only=("$@")
set --

fail()
{
    printf '%s' "$*" | tr '\n' ' ' >"$WHY.fail"
    exit 1
}

skip()
{
    printf '%s' "$*" | tr '\n' ' ' >"$WHY.skip"
    exit 0
}

need()
{
    local command
    for command in "$@"; do
        command -v "$command" >/dev/null || skip "$command is not installed"
    done
}

# strace, where it can trace a program of this build.
need_strace()
{
    need strace
    [ -z "$SAN" ] || skip "the sanitizers' own threads do not like strace"
    strace -o "$T/probe" true 2>/dev/null || skip 'strace cannot trace here'
}

wait_for()
{
    local seconds=$1 end
    shift
    [ -z "$SAN" ] || seconds=$((seconds * 3))
    end=$((SECONDS + seconds))
    until "$@"; do
        [ $SECONDS -le $end ] || fail "not within $seconds s: $*"
        sleep 0.05
    done
}

expect_status()
{
    local expected=$1 status=0
    shift
    "$@" >"$T/out" 2>"$T/err" </dev/null || status=$?
    if [ $status -ne "$expected" ]; then
        cat "$T/out" "$T/err"
        fail "status $status instead of $expected: $*"
    fi
}

start()
{
    local name=$1
    shift
    # A session of its own, so that its children can be ended with it.
    # Emptied here, not only by the process: what the one before it said is not to be taken for its own.
    : >"$T/$name.out"
    : >"$T/$name.err"
    setsid "$@" </dev/null >"$T/$name.out" 2>"$T/$name.err" &
    started=$!
    started_all+=("$started")
    echo "$started" >"$T/$name.pid"
}

stop()
{
    local pid
    pid=$(cat "$T/$1.pid")
    kill -s "${2:-TERM}" "$pid" 2>/dev/null || true
    stopped=0
    wait "$pid" || stopped=$?
    # Its number will be another's: nothing of it is to be ended at the end of the test, when all has gone.
    if ! pgrep -s "$pid" >/dev/null; then
        local i
        for i in "${!started_all[@]}"; do
            [ "${started_all[i]}" != "$pid" ] || unset "started_all[i]"
        done
    fi
}

at_end()
{
    ends+=("$*")
}

end_test()
{
    local i pid mounted
    set +eu
    for ((i = ${#ends[@]} - 1; i >= 0; i--)); do
        eval "${ends[i]}"
    done
    for pid in "${started_all[@]}" $(jobs -p); do
        kill -KILL -- "-$pid"
    done 2>/dev/null
    jobs -p | xargs -r kill -KILL 2>/dev/null
    wait 2>/dev/null
    cd /
    awk -v under="$T/" 'index($5, under) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
        while read -r mounted; do
            umount -l "$(printf '%b' "$mounted")"
        done
}

run_tests()
{
    local status=$? base test part wanted failed=0 output
    if [ $status -ne 0 ]; then
        echo "FAIL ${0##*/}: could not be read, status $status"
        exit 1
    fi
    base=$(mktemp -d "${TMPDIR:-/tmp}/system-XXXXXX")
    shopt -s extdebug # declare -F then tells the line of a function
    for test in $(declare -F | awk '$3 ~ /^test_/ { print $3 }' |
        while read -r test; do declare -F "$test"; done | sort -n -k2 | cut -d' ' -f1); do
        shopt -u extdebug
        wanted=${only[0]+no}
        for part in "${only[@]}"; do
            [[ ${test#test_} != *"$part"* ]] || wanted=
        done
        [ -z "$wanted" ] || continue

        output=$base/output
        mkdir "$base/$test"
        (
            trap end_test EXIT
            trap 'exit 143' TERM
            trap 'exit 130' INT
            T=$base/$test WHY=$base/why
            ends=() started_all=()
            cd "$T"
            set -eu
            "$test"
        ) >"$output" 2>&1 </dev/null
        status=$?
        test=${test#test_}
        if [ -e "$base/why.fail" ] || [ $status -ne 0 ]; then
            failed=1
            sed 's/^/    /' "$output"
            echo "FAIL $test: $(cat "$base/why.fail" 2>/dev/null || echo "status $status")"
        elif [ -e "$base/why.skip" ]; then
            echo "skip $test: $(cat "$base/why.skip")"
        else
            echo "ok $test"
        fi
        rm -rf --one-file-system "$base"/why.* "$base/test_$test"
    done
    rm -rf --one-file-system "$base"
    exit $failed
}
trap run_tests EXIT
