# Every n-th system call of the service's processes fails, kind by kind: what it has promised holds, it
# never takes for published what is not whole, and undisturbed it ends all its work.
# time limit: 6000
. "${BASH_SOURCE%/*}/../system/lib.sh"
. "${BASH_SOURCE%/*}/../system/serve.bash"
. "${BASH_SOURCE%/*}/torture.bash"

# What is injected: system calls, error, and which of them: each process's FIRST and every STEPth on.
# The first calls are those of the loader, which would only keep a process from starting.
CASES=(
    "pwrite64,pwritev,write,writev EIO 40+23"
    "pwrite64,write,ftruncate,fallocate,mkdir,openat ENOSPC 60+19"
    "fdatasync,fsync,sync_file_range EIO 2+3"
    "fdatasync,fsync ENOSPC 1+4"
    "rename,renameat,renameat2,unlink,unlinkat,mkdir,rmdir EIO 2+3"
    "rename,renameat,renameat2,link ENOSPC 1+2"
    "openat,newfstatat,statx,getdents64 EIO 90+17"
    "openat,newfstatat,getdents64,inotify_add_watch ENOMEM 90+23"
    "mmap,mremap,brk,clone,clone3 ENOMEM 80+9"
    "read,pread64,recvfrom,recvmsg EIO 60+29"
    "read,pread64,write,pwrite64,openat,fsync,fdatasync EINTR 50+11"
    "epoll_wait,poll,ppoll,wait4,futex EINTR 3+4"
    "socketpair,fork,clone,clone3,pipe2,eventfd2,memfd_create ENOMEM 3+2"
)

# The moments a case begins with move on with each of its rounds.
inject_of() # CASE ROUND
{
    local calls error when first step
    read -r calls error when <<<"$1"
    first=${when%+*} step=${when#*+}
    echo "inject=$(known_calls "$calls"):error=$error:when=$((first + $2))+$step"
}

# Those that this machine's strace and kernel have: arm64 has no mkdir.
known_calls()
{
    local call known=
    for call in ${1//,/ }; do
        strace -e trace="$call" -o /dev/null true 2>/dev/null && known+=,$call
    done
    echo "${known#,}"
}

test_every_nth_system_call_fails()
{
    need strace sqlite3 jq
    [ -z "$SAN" ] || skip "the sanitizers' own threads do not like strace"
    strace -o probe -e trace=write -e inject=write:error=EIO:when=1000 true 2>/dev/null ||
        skip "strace cannot trace here"
    rounds 4 78
    at_end tail -n 30 "$T/service.err"
    local round case inject injected=0 before
    begin # makes the journal
    await_begin
    stop service
    : >recovery
    for ((round = 0; round < ROUNDS; round++)); do
        # A short run takes other cases than the one before it, by its seed.
        case=${CASES[(round + (${#TORTURE} ? 0 : RANDOM)) % ${#CASES[@]}]}
        inject=$(inject_of "$case" $((round / ${#CASES[@]})))
        UNDER=(strace -f -qq -o "$T/trace" -e "trace=$(sed 's/inject=\([^:]*\):.*/\1/' <<<"$inject")" -e "$inject")
        rm -f trace
        begin
        drop_burst
        before=$(now_ms)
        # It may do its work or not; it may end, or not even begin.
        until [ $(($(now_ms) - before)) -ge 6000 ] || grep -qa 'stack published' service.err ||
            ! kill -0 "$started" 2>/dev/null; do
            sleep 0.05
        done
        end_at_once
        injected=$((injected + $(grep -ac INJECTED trace || true)))
        echo "round $round: $inject: $(grep -ac INJECTED trace || true) injected," \
            "$(grep -aoE 'stack published|the journal cannot be written|outbox cannot be written' service.err | sort | uniq -c | tr -s ' \n' ' ')"
        grep -aE 'Sanitizer|Assertion|stack smashing|corrupted|double free' service.err && fail "it has crashed"
        check_promises
        [ $lost -eq 0 ] || cp service.err "service.err.$round"
        UNDER=()
        # And undisturbed again, so that every round begins with nothing to do.
        begin
        await_begin
        wait_for 60 all_is_done
        stop service
        [ "$stopped" -eq 0 ] || fail "the service ended with status $stopped"
        check_promises
    done
    finish_all
    echo "injected: $injected"
    [ $injected -gt $((ROUNDS / 2)) ] || fail "hardly anything was injected: $injected"
    tell "every n-th system call fails (EIO, ENOSPC, ENOMEM, EINTR)"
}
