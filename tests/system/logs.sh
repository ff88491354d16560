# Where log lines go.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"

RECEIVER=${RECEIVER:-$BUILD/tests/receiver/receiver}

test_json_lines()
{
    make_burst burst --frames 3
    mkdir_inbox
    serve --expected-frames 3 --log-format json
    drop burst/*.jpg
    await_stacks 1
    stop_service
    jq -s . service.err >lines.json || fail "not all lines are JSON"
    local burst
    burst=$(basename "$(published)")
    check lines.json 'all(.[]; (.time | test("^20..-..-..T..:..:..[.]...Z$")) and (.message | length) > 0 and
        (.level | IN("error", "warning", "info", "debug")))'
    check lines.json '[.[].role | split(" ")[0]] | index("service") != null and index("capture") != null'
    check lines.json '[.[] | select(.burst == "'"$burst"'" and (.message | test("^stack published")))] | length == 1'
    check lines.json '[.[] | select(.burst == "'"$burst"'" and (.frame | length? // 0) == 49 and
        (.message | test("scored")))] | length == 3'
}

# As systemd runs it, with our own end of the journal's socket: natively, children in their sandbox
# as well. /run is another one in a namespace of mounts.
test_the_journal_of_systemd()
{
    need unshare
    [ "$(id -u)" -eq 0 ] || skip "needs root"
    unshare -m true || skip "no namespaces here"
    make_burst burst --frames 4
    mkdir_inbox
    : >stream
    cat >in_namespace <<'E'
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal
"$RECEIVER" --journal /run/systemd/journal/socket "$T/journal" &
until [ -S /run/systemd/journal/socket ]; do sleep 0.05; done
export JOURNAL_STREAM=$(stat -c %d:%i stream)
exec "$PARFOCAL" "$@" 2>>stream
E
    export RECEIVER T
    start service unshare -m bash in_namespace serve --source "folder:$T/inbox" --outbox "$T/outbox" \
        --state "$T/state" --settle 0.1 --gap 2 --hold 0.3 --expected-frames 4 --log-level debug
    drop burst/*.jpg
    await_stacks 1
    stop service
    [ "$stopped" -eq 0 ] || fail "status $stopped"
    jq -s . journal >entries.json
    check entries.json 'all(.[]; .SYSLOG_IDENTIFIER == "parfocal" and (.PRIORITY | test("^[0-7]$")) and
        (.MESSAGE | length) > 0)'
    check entries.json '[.[] | select(.PF_ROLE == "service" and .PF_BURST == "'"$(basename "$(published)")"'" and
        .PRIORITY == "6" and (.MESSAGE | test("^stack published")))] | length == 1'
    check entries.json '[.[] | select((.PF_ROLE | startswith("capture")) and (.MESSAGE | test("inotify|polling")))] | length > 0'
    check entries.json '[.[] | select((.PF_FRAME | length? // 0) == 49)] | length >= 4'
    [ ! -s stream ] || fail "twice: $(cat stream)"
}
