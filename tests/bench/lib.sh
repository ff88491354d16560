# Shared by the benchmarks: where things are, running a command under measurement, statistics.
# Sourced with BUILD set.
PARFOCAL=${PARFOCAL:-$BUILD/parfocal} GENERATE=$BUILD/tests/generate COMPARE=$BUILD/tests/compare

die()
{
    echo "bench: $*" >&2
    exit 1
}

say()
{
    printf '%s  %s\n' "$(date +%H:%M:%S)" "$*" >&2
}

# measured FILE COMMAND...: appends "wall_s cpu_s peak_kB" of the command and all its descendants
# to FILE (the peak is that of the largest process; the commands measured here run one at a time).
measured()
{
    local to=$1
    shift
    command time -q -f '%e %U %S %M' -a -o "$to.raw" "$@" >"$to.out" 2>"$to.err" </dev/null ||
        die "failed: $*
$(tail -n 5 "$to.err")"
    awk 'END { printf "%.2f %.2f %d\n", $1, $2 + $3, $4 }' "$to.raw" >>"$to"
}

# column FILE N: median of a column, with its spread where there is more than one line: "1.20 (1.18-1.31)".
column()
{
    awk -v n="$2" '{ print $n }' "$1" | sort -g | awk '
        { v[NR] = $1 }
        END {
            m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
            printf "%.2f", m
            if (NR > 1)
                printf " (%.2f-%.2f)", v[1], v[NR]
        }'
}

megabytes() # FILE: median of the peak
{
    awk '{ print $3 }' "$1" | sort -g | awk '{ v[NR] = $1 } END { printf "%.0f", v[int((NR + 1) / 2)] / 1024 }'
}

machine()
{
    local model
    model=$(sed -n 's/^model name[[:space:]]*: //p;T;q' /proc/cpuinfo)
    printf '%s, %s cores, %s GiB, %s' "${model:-$(uname -m)}" "$(nproc)" \
        "$(awk '/^MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo)" \
        "$(. /etc/os-release && echo "$PRETTY_NAME")"
}

# A directory $T of its own for a benchmark of the service, whose process is $service; both end with it.
workspace() # NAME
{
    T=$(mktemp -d "${TMPDIR:-/tmp}/parfocal-$1-XXXXXX") || exit 1
    service=
    trap clear_workspace EXIT
    trap 'exit 130' INT TERM
}

clear_workspace()
{
    [ -z "$service" ] || kill "$service" 2>/dev/null
    wait
    rm -rf "$T"
}
