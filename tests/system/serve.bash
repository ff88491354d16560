# For the tests of `parfocal serve`: sourced after lib.sh. Everything lies in $T.

mkdir_inbox()
{
    mkdir -p "$T/inbox"
}

# The service on $T/inbox with short times; more options may follow.
serve()
{
    [[ " ${ends[*]} " == *" $T/service.err "* ]] || at_end tail -n 60 "$T/service.err"
    start service "$PARFOCAL" serve --source "folder:$T/inbox" --outbox "$T/outbox" \
        --state "$T/state" --settle 0.1 --gap 2 --hold 0.3 --http off "$@"
}

# make_burst NAME [GENERATOR OPTIONS]: frames in $T/NAME
make_burst()
{
    local name=$1
    shift
    "$GENERATE" --out "$T/$name" --no-truth --width 320 --height 240 --frames 5 --interval 0.2 \
        --threads 1 "$@" >/dev/null
}

# drop FILE... [into DIR of inbox: $drop_into]: as a careful program does it
drop()
{
    local file name to=$T/inbox${drop_into:+/$drop_into}
    mkdir -p "$to"
    for file; do
        name=${file##*/}
        cp "$file" "$to/.$name.part"
        mv "$to/.$name.part" "$to/$name"
    done
}

# Published directories, one a line.
published()
{
    local dir
    for dir in "$T"/outbox/*/; do
        [ ! -e "$dir/stack.json" ] || echo "${dir%/}"
    done | sort # NAME before NAME-v2, which a pattern that ends with / does not do
}

published_are()
{
    [ "$(published | wc -l)" -ge "$1" ]
}

# await_stacks N [SECONDS]: until N directories are published
await_stacks()
{
    wait_for "${2:-30}" published_are "$1"
}

log_says()
{
    grep -aqE -- "$1" "$T/service.err"
}

# await_log PATTERN [SECONDS]
await_log()
{
    wait_for "${2:-20}" log_says "$1"
}

log_lacks()
{
    ! log_says "$1" || fail "the log says: $(grep -aE -m1 -- "$1" "$T/service.err")"
}

# check JSON_FILE JQ_FILTER: the filter must give true
check()
{
    [ "$(jq -r "$2" "$1")" = true ] || {
        jq 'del(.frames[].focus)' "$1"
        fail "not true of ${1##*/}: $2"
    }
}

# Process ids of the service's children: child_pid capture|process
child_pid()
{
    local pid
    for pid in $(pgrep -P "$(cat "$T/service.pid")"); do
        ! tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | sed -n 2p | grep -qx "$1" || echo "$pid"
    done
}

# The service ends in order, with everything that it promises.
stop_service()
{
    stop service
    [ "$stopped" -eq 0 ] || {
        cat "$T/service.err"
        fail "the service ended with status $stopped"
    }
    leftovers=$(find "$T/outbox" -maxdepth 1 -name '.*' -mindepth 1 2>/dev/null)
}

# make_bomb FILE: a grey JPEG of 9000 x 9000 pixels in 0.3 MB. Its tables have one code each, so
# that every block is two zero bits.
make_bomb()
{
    {
        printf '\xff\xd8\xff\xdb\x00\x43\x00'
        head -c 64 /dev/zero | tr '\0' '\1'
        printf '\xff\xc0\x00\x0b\x08\x23\x28\x23\x28\x01\x01\x11\x00'
        printf '\xff\xc4\x00\x14\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00'
        printf '\xff\xc4\x00\x14\x10\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00'
        printf '\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00'
        head -c 316407 /dev/zero
        printf '\xff\xd9'
    } >"$1"
}

# frames_scored N: the log says so of at least as many
frames_scored()
{
    [ "$(grep -ac ' scored: ' "$T/service.err")" -ge "$1" ]
}

# await_ahead N: until the result of N frames of an open burst is written ahead (--log-level debug)
await_ahead()
{
    await_log "the result of $1 frames is written ahead" 30
    log_lacks ' complete: '
}

# memory_group MIB: a cgroup (version 1 or 2) with that limit, its directory in $group. Nothing of it goes to
# swap; where that cannot be had and there is swap, the kernel kills nothing, and the test is skipped.
memory_group()
{
    local root
    for root in /sys/fs/cgroup/memory /sys/fs/cgroup; do
        group=$root/parfocal-test-$$
        mkdir "$group" 2>/dev/null || continue
        at_end "stop service KILL; remove_group $group"
        if put $(($1 << 20)) "$group/memory.limit_in_bytes"; then
            put $(($1 << 20)) "$group/memory.memsw.limit_in_bytes" || no_swap
            return
        elif put $(($1 << 20)) "$group/memory.max"; then
            put 0 "$group/memory.swap.max" || no_swap
            return
        fi
    done
    return 1
}

put() # VALUE FILE
{
    [ -e "$2" ] && echo "$1" 2>/dev/null >"$2"
}

no_swap()
{
    [ "$(wc -l </proc/swaps)" -le 1 ] || skip "a memory group cannot be kept out of swap here"
}

# With all that is still in it, in sessions of its own or not.
remove_group() # DIRECTORY
{
    local tries
    [ -e "$1" ] || return 0
    for ((tries = 0; tries < 100; tries++)); do
        grep -x '[1-9][0-9]*' "$1/cgroup.procs" 2>/dev/null | xargs -r kill -KILL 2>/dev/null
        rmdir "$1" 2>/dev/null && return
        sleep 0.1
    done
    echo "the memory group $1 stays"
}

# in_group COMMAND...: makes $T/in_group, a program that is that command in the memory group
in_group()
{
    printf '#!/bin/bash\necho $$ >%s/cgroup.procs && exec %s "$@"\n' "$group" "${*@Q}" >"$T/in_group"
    chmod +x "$T/in_group"
}
