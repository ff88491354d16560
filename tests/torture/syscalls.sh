# Every n-th system call of the service's processes fails, kind by kind, while photographs come, a hook is told of
# each stack and a browser asks and hears of all events: what it has promised holds, it never takes for published
# what is not whole, and undisturbed it ends all its work and tells all of it.
# time limit: 480, with TORTURE 6000
. "${BASH_SOURCE%/*}/../system/lib.sh"
. "${BASH_SOURCE%/*}/../system/serve.bash"
. "${BASH_SOURCE%/*}/torture.bash"

# What is injected: system calls, error, which of them (of each thread the FIRST and every STEPth after
# it), and whether from the start of the service on, or once it waits for frames: at the start most
# calls are those of the loader. (Not brk, whose failure has no error that strace could give.)
CASES=(
    "pwrite64,pwritev,write,writev EIO 2+5 ready"
    "pwrite64,write,ftruncate,fallocate,mkdir,openat ENOSPC 2+7 ready"
    "fdatasync,fsync,sync_file_range EIO 1+3 ready"
    "fdatasync,fsync ENOSPC 2+4 start"
    "fsync EIO 1+3 ready" # the journal's are fdatasync: those of the outputs
    "rename,renameat,renameat2,unlink,unlinkat,mkdir,rmdir EIO 1+2 ready"
    "rename,renameat,renameat2,link ENOSPC 1+2 start"
    "openat,newfstatat,statx,getdents64 EIO 2+7 ready"
    "openat,newfstatat,getdents64,inotify_add_watch ENOMEM 2+5 ready"
    "mmap,mremap,clone,clone3 ENOMEM 1+3 ready"
    "mmap,mremap,clone,clone3 ENOMEM 357+7 start"
    "read,pread64,recvfrom,recvmsg EIO 2+9 ready"
    "read,readv,recvfrom,pread64,write,writev,sendto,pwrite64,openat,fsync,fdatasync EINTR 1+3 ready"
    "epoll_wait,poll,ppoll,wait4 EINTR 2+4 ready"
    "accept,accept4,readv,writev,sendmsg,recvmsg,getsockopt EIO 1+3 ready"
    "socketpair,fork,clone,clone3,pipe2,eventfd2,memfd_create ENOMEM 3+2 start"
)

# The moments a case begins with move on with each of its rounds.
inject_of() # CASE ROUND
{
    local calls error when first step
    read -r calls error when _ <<<"$1"
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

# What was published though a sync of its files had failed, or of its name: strace saw both.
check_syncs()
{
    local unsafe
    {
        sed -nE 's/.*stack (published|found): (.*) \([0-9]+ frames.*/\2/p' service.err
        ask_journal 'SELECT CAST(directory AS TEXT) FROM versions'
    } | sort -u >published
    unsafe=$(awk -f "$ROOT/tests/torture/syncs.awk" trace published)
    [ -z "$unsafe" ] || {
        cat trace
        fail "round $1: published, and not on disk: $unsafe"
    }
}

test_every_nth_system_call_fails()
{
    need strace sqlite3 jq curl
    [ -z "$SAN" ] || skip "the sanitizers' own threads do not like strace"
    strace -o probe -e trace=write -e inject=write:error=EIO:when=1000 true 2>/dev/null ||
        skip "strace cannot trace here"
    rounds 3 96
    at_end tail -n 30 "$T/service.err"
    local round case inject injected before trace calls which all=0
    declare -A injected=()
    tell_of_stacks
    begin # makes the journal
    await_begin
    stop service
    : >recovery
    for ((round = 0; round < ROUNDS; round++)); do
        # A short run takes other cases than the one before it, by its seed.
        case=${CASES[(round + (${#TORTURE} ? 0 : RANDOM)) % ${#CASES[@]}]}
        inject=$(inject_of "$case" $((round / ${#CASES[@]})))
        calls=$(sed 's/inject=\([^:]*\):.*/\1/' <<<"$inject")
        [[ $case != *fsync*E[IN]* ]] || calls+=,$(known_calls mkdir,mkdirat,rename,renameat,renameat2)
        trace=(strace -f -y -qq -s 4096 -o "$T/trace" -e "trace=$calls" -e "$inject")
        rm -f trace
        if [ "${case##* }" = start ]; then
            UNDER=("${trace[@]}")
            begin
        else
            begin
            await_log 'worker ready'
            await_begin
            "${trace[@]}" -p "$started" -p "$(child_pid capture)" -p "$(child_pid process)" 2>strace.err &
            wait_for 10 eval "[ -e trace ]"
        fi
        touch go
        browse &
        browser=$!
        before=$(wc -l <told)
        drop_burst
        at=$(now_ms)
        # It may do its work or not; it may end, or not even begin.
        until [ $(($(now_ms) - at)) -ge 6000 ] || grep -qa 'stack published' service.err ||
            ! kill -0 "$started" 2>/dev/null; do
            sleep 0.05
        done
        at=$(now_ms)
        until [ $(($(now_ms) - at)) -ge 1000 ] || more_than "$before" wc -l <told; do
            sleep 0.05
        done
        end_at_once
        rm go
        wait $browser || true
        # A round of a short run may have met none; in a long one no case may be without.
        injected[$case]=$((${injected[$case]:-0} + $(grep -ac INJECTED trace || true)))
        echo "round $round: $inject: $(grep -ac INJECTED trace || true) injected," \
            "$(grep -aoE 'stack published|the journal cannot be written|outbox cannot be written' service.err | sort | uniq -c | tr -s ' \n' ' ')"
        [[ $calls != *fsync* ]] || check_syncs $round
        end_round $round
    done
    finish_all
    begin
    wait_for 60 all_are_told
    stop service
    echo "$(sort -u told | wc -l) stacks told to the hook, $(wc -l <heard) events heard, $(grep -c 200 asked) answers"
    [ -s heard ] && grep -q 200 asked || fail 'nothing was heard or answered'
    for which in "${!injected[@]}"; do
        echo "injected: ${injected[$which]} of $which"
        [ "${injected[$which]}" -gt 0 ] || [ -z "$TORTURE" ] || fail "nothing was injected of $which"
        all=$((all + ${injected[$which]}))
    done
    [ $all -gt 0 ] || fail "nothing was injected"
    report "every n-th system call fails (EIO, ENOSPC, ENOMEM, EINTR)"
}
