# parfocal serve: hooks, programs and addresses.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"

RECEIVER=${RECEIVER:-$BUILD/tests/receiver/receiver}

# hook NAME: makes $T/NAME from standard input, a script; what runs it finds $T/told
hook()
{
    {
        echo '#!/bin/bash'
        echo "T='$T'"
        cat
    } >"$T/$1"
    chmod +x "$T/$1"
    mkdir -p "$T/told"
}

# receive [OPTIONS]: the receiver in $T/posts; its port in $port
receive()
{
    mkdir "$T/posts"
    start receiver "$RECEIVER" "$T/posts" "$@"
    wait_for 10 test -e "$T/posts/port"
    port=$(cat "$T/posts/port")
}

# What the journal has of deliveries: state tries failures error, one a line
deliveries()
{
    sqlite3 "$T/state/journal.sqlite" \
        "SELECT state, tries, failures, coalesce(error, '-') FROM deliveries ORDER BY number"
}

deliveries_are()
{
    [ "$(deliveries)" = "$1" ]
}

await_deliveries() # TEXT
{
    wait_for 20 deliveries_are "$1"
}

one_stack()
{
    make_burst burst --make Acme --serial 4711 --frames 3
    mkdir_inbox
    serve --expected-frames 3 "$@"
    drop burst/*.jpg
    await_stacks 1
}

header() # N NAME: the value in post N
{
    sed -n "s/^$2: //p" "$T/posts/$1.head"
}

test_a_program_is_told_of_a_stack()
{
    hook 'a hook' <<'E'
cat >"$T/told/input"
printf '%s\0' "$@" >"$T/told/arguments"
env -0 >"$T/told/environment"
ls -l /proc/$$/fd >"$T/told/fds"
E
    export NOTIFY_SOCKET=/nowhere
    one_stack --on-burst "'$T/a hook' 'one  two' \$HOME"
    unset NOTIFY_SOCKET
    await_deliveries '1|1|0|-'
    local dir
    dir=$(published)
    check told/input '.event == "burst.published" and .burst == "'"${dir##*/}"'" and .version == 1 and
        .directory == "'"$dir"'" and .frames == 3 and .fused == 3 and .aside == 0 and
        .complete == "expected count" and (.id | length) == 32 and .camera.serial == "4711" and
        (.host | length) > 0 and (.parfocal | length) > 0 and .at_ms > 1700000000000'
    check told/input '[.files[].name] | index("stack.tif") != null and index("stack.json") != null'
    [ "$(tr '\0' '|' <told/arguments)" = 'one  two|$HOME|' ] || fail "arguments: $(tr '\0' '|' <told/arguments)"
    tr '\0' '\n' <told/environment >environment
    grep -qx "PARFOCAL_DIRECTORY=$dir" environment || fail "no directory"
    grep -qx "PARFOCAL_EVENT=burst.published" environment || fail "no event"
    grep -qx "PARFOCAL_BURST=${dir##*/}" environment || fail "no burst"
    grep -qx "PARFOCAL_ATTEMPT=1" environment || fail "no attempt"
    grep -qx "PARFOCAL_ID=$(jq -r .id told/input)" environment || fail "no id"
    ! grep -q '^NOTIFY_SOCKET=' environment || fail "systemd's socket is not for hooks"
    # Its standard streams, and the script that bash reads.
    [ "$(grep -c -- '->' told/fds)" -le 4 ] || {
        cat told/fds
        fail "it has our descriptors"
    }
    log_says "on_burst: .*a hook.* done" || fail "no word of it"
    stop_service
}

# Row 26 of the failure cases: a failing hook is retried and visible, and the output is not lost.
test_row26_a_failing_hook_costs_no_output()
{
    hook fails <<'E'
echo x >>"$T/told/tries"
echo "first line"; echo "the reason is this" >&2
[ "$(wc -l <"$T/told/tries")" -gt 2 ] || exit 3
E
    one_stack --on-burst "$T/fails" --on-burst /no/such/program --hook-retries 2 --hook-backoff 0.1
    [ -s "$(published)/stack.tif" ] || fail "the output is lost"
    await_deliveries "$(printf '%s\n' '1|3|0|-' '2|3|3|status 127: env: ‘/no/such/program’: No such file or directory')"
    log_says 'on_burst: .*fails failed: status 3: first line the reason is this; it is tried again' ||
        fail "no word of the failure"
    log_says 'on_burst: /no/such/program failed: status 127: .*No such file.* given up after 3 tries' ||
        fail "no word of the end"
    # The service goes on: the next burst is stacked as well.
    make_burst next --frames 3 --seed 2 --start 2026-03-04T05:06:07
    drop next/*.jpg
    await_stacks 2
    stop_service
}

test_a_program_that_hangs_is_ended_with_its_group()
{
    hook hangs <<'E'
trap '' TERM
sleep 1000 &
echo $! >"$T/told/child.new"
mv "$T/told/child.new" "$T/told/child"
while :; do sleep 1000; done
E
    one_stack --on-burst "$T/hangs" --hook-retries 0 --hook-timeout 0.5
    await_deliveries '2|1|1|not done after 0.5 s, ended'
    ! kill -0 "$(cat told/child)" 2>/dev/null || grep -q ') Z' "/proc/$(cat told/child)/stat" ||
        fail "its child lives"
    stop_service
}

# A program that floods its output and does not read its input, and one that leaves something running.
test_odd_programs()
{
    hook floods <<'E'
exec <&-
yes 'much ado' | head -c 30000000
echo done >"$T/told/flooded"
E
    hook leaves <<'E'
sleep 1000 &
echo $! >"$T/told/left"
E
    hook mute <<'E'
exec >&- 2>&-
sleep 1
E
    one_stack --on-burst "$T/floods" --on-burst "$T/leaves" --on-burst "head -c 3000000 /dev/zero" \
        --on-burst "$T/mute" --hook-parallel 4 --hook-retries 0
    await_log 'on_burst: .*leaves done'
    kill "$(cat told/left)" || fail "what it left behind is gone"
    await_deliveries "$(printf '1|1|0|-\n%.0s' 1 2 3 4)"
    [ "$(cat told/flooded)" = done ] || fail "it was not heard to its end"
    stop_service
}

# Neither one that hangs nor what waits for it keeps the others waiting, in whatever order they are due.
test_a_hook_that_hangs_keeps_no_other_waiting()
{
    need sqlite3
    hook hangs <<<'exec sleep 1000'
    hook tells <<<'echo "$PARFOCAL_BURST" >>"$T/told/bursts"'
    make_burst burst1 --frames 3
    mkdir_inbox
    serve --expected-frames 3 --on-burst "$T/hangs" --on-burst "$T/tells"
    local number
    for number in 1 2 3 4 5; do
        [ "$number" = 1 ] || make_burst "burst$number" --frames 3 --seed "$number" --start "2026-03-04T05:0$number:07"
        drop_into=$number drop "burst$number"/*.jpg
        await_stacks "$number"
        wait_for 10 eval '[ "$(wc -l <told/bursts)" -eq '"$number"' ]'
    done
    [ "$(deliveries | sort | uniq -c | tr -s ' ')" = $' 5 0|0|0|-\n 5 1|1|0|-' ] || fail "$(deliveries)"
    stop_service
}

test_a_shell_where_it_is_asked_for()
{
    mkdir told
    one_stack --hook-shell --on-burst "echo \"\$PARFOCAL_FUSED of \$PARFOCAL_FRAMES\" >$T/told/text && jq -r .complete >>$T/told/text"
    await_deliveries '1|1|0|-'
    [ "$(cat told/text)" = $'3 of 3\nexpected count' ] || fail "$(cat told/text)"
    stop_service
}

test_failures_and_the_stop_are_told()
{
    hook notes <<'E'
cat >"$T/told/$PARFOCAL_EVENT.new"
mv "$T/told/$PARFOCAL_EVENT.new" "$T/told/$PARFOCAL_EVENT"
E
    # Four pictures with nothing in common.
    mkdir burst
    for n in 1 2 3 4; do
        make_burst "scene$n" --frames 1 --seed "$n" --start "2026-01-02T03:04:0$n"
        cp "scene$n"/*.jpg "burst/$n.jpg"
    done
    mkdir_inbox
    serve --expected-frames 4 --align ecc --on-failure "$T/notes" --on-stop "$T/notes" # no features: they take long under a sanitizer
    drop burst/*.jpg
    wait_for 20 test -e told/burst.failed
    check told/burst.failed '.event == "burst.failed" and .frames == 4 and (.reason | test("frames could be used"))'
    await_deliveries '1|1|0|-'
    stop_service
    check told/service.stopping '.event == "service.stopping" and (.id | length) == 32'
    [ "$(deliveries)" = $'1|1|0|-\n1|1|0|-' ] || fail "$(deliveries)"
}

# A stop does not wait for ever, and what was not told then is told at the next start.
test_a_hook_that_hangs_at_the_stop()
{
    hook hangs <<'E'
[ -e "$T/told/again" ] || exec sleep 1000
echo "$PARFOCAL_ID $PARFOCAL_ATTEMPT" >>"$T/told/again"
E
    mkdir_inbox
    serve --on-stop "$T/hangs"
    await_log 'worker ready'
    stop_service
    log_says 'on_stop is not done; it is due at the next start' || fail "no word of it"
    [ "$(deliveries)" = '0|0|0|-' ] || fail "$(deliveries)"
    touch told/again
    serve --on-stop "$T/hangs"
    await_deliveries '1|1|0|-'
    [ -s told/again ] || fail "not told"
    stop service KILL
}

# Hooks that wait in the kernel, which SIGKILL does not end: named, counted, and waited for all together.
test_hooks_that_cannot_be_killed_are_left_at_the_stop()
{
    [ "$(id -u)" -eq 0 ] || skip "needs root to mount"
    need mkfs.ext4 fsfreeze
    local number from took
    mkdir_inbox
    mkdir disk
    truncate -s 16M disk.img
    mkfs.ext4 -q disk.img
    mount -o loop disk.img disk 2>why || skip "cannot mount a loop device: $(cat why)"
    fsfreeze -f disk 2>why || skip "cannot freeze a disk: $(cat why)"
    at_end fsfreeze -u "$T/disk"
    local hooks=()
    for number in 1 2 3 4 5; do
        hooks+=(--on-stop "touch $T/disk/$number")
    done
    serve --hook-parallel 5 "${hooks[@]}"
    await_log 'worker ready'
    from=$SECONDS
    stop service
    took=$((SECONDS - from))
    [ "$stopped" -eq 4 ] || fail "status $stopped"
    ((took < 17)) || fail "the stop took $took s"
    [ "$(grep -c 'on_stop: its process .* does not end: it waits in the kernel' service.err)" = 5 ] ||
        fail "they are not named: $(cat service.err)"
    [ "$(deliveries | sort -u)" = '0|0|0|-' ] || fail "$(deliveries)"
}

# kill -9 between the publishing and the end of the hook: it is told again, with the same id.
test_a_crash_forgets_no_hook()
{
    hook slow <<'E'
echo "$PARFOCAL_ID" >>"$T/told/ids"
[ -e "$T/told/quick" ] || sleep 1000
E
    one_stack --on-burst "$T/slow"
    wait_for 10 test -s told/ids
    stop service KILL
    [ "$(deliveries)" = '0|0|0|-' ] || fail "$(deliveries)"
    touch told/quick
    serve --on-burst "$T/slow"
    await_deliveries '1|1|0|-'
    [ "$(wc -l <told/ids)" -eq 2 ] && [ "$(sort -u told/ids | wc -l)" -eq 1 ] || fail "$(cat told/ids)"
    stop_service
    [ "$(published | wc -l)" -eq 1 ] || fail "published twice"
}

# kill -9 between the rename and its entry in the journal: what is found is told with what is in it.
test_a_stack_that_is_found_is_told_with_its_counts()
{
    need sqlite3
    hook tells <<<'echo "$PARFOCAL_FRAMES $PARFOCAL_FUSED $PARFOCAL_ASIDE" >>"$T/told/counts"'
    one_stack
    stop_service
    sqlite3 state/journal.sqlite "DELETE FROM versions; UPDATE bursts SET state = 1, published = 0"
    serve --on-burst "$T/tells"
    await_log 'stack found: .* was published already'
    wait_for 10 test -s told/counts
    [ "$(cat told/counts)" = '3 3 0' ] || fail "$(cat told/counts)"
    stop_service
    [ "$(published | wc -l)" -eq 1 ] || fail "published twice"
}

# A hook that the configuration has no longer is given up, and not told to anybody.
test_a_hook_that_was_taken_out()
{
    hook fails <<<'exit 1'
    one_stack --on-burst "$T/fails" --hook-backoff 1
    await_deliveries '0|1|1|status 1'
    stop_service
    serve
    await_deliveries '2|1|1|it is no longer configured'
    stop_service
}

test_hooks_are_bounded_in_number()
{
    hook counts <<'E'
mkdir "$T/told/$$"; ls "$T/told" | wc -l >>"$T/counts.txt"; sleep 0.5; rmdir "$T/told/$$"
E
    one_stack --hook-parallel 2 --on-burst "$T/counts" --on-burst "$T/counts 2" \
        --on-burst "$T/counts 3" --on-burst "$T/counts 4" --on-burst "$T/counts 5"
    await_deliveries "$(printf '1|1|0|-\n%.0s' 1 2 3 4 5)"
    [ "$(sort -n counts.txt | tail -n 1)" -le 2 ] || fail "$(cat counts.txt)"
    stop_service
}

# ---- addresses ----

test_an_address_is_posted_to()
{
    need openssl
    receive
    echo "whsec_$(printf 'sixteen bytes or more' | base64)" >secret
    chmod 600 secret
    one_stack --on-burst "http://127.0.0.1:$port/hook?key=1" --hook-secret-file "$T/secret"
    await_deliveries '1|1|0|-'
    [ "$(head -n 1 posts/1.head)" = 'POST /hook?key=1' ] || fail "$(cat posts/1.head)"
    [ "$(header 1 Content-Type)" = application/json ] || fail "$(cat posts/1.head)"
    [ "$(header 1 webhook-id)" = "$(jq -r .id posts/1.body)" ] || fail "the id"
    [ "$(header 1 parfocal-attempt)" = 1 ] || fail "the attempt"
    check posts/1.body '.event == "burst.published" and .directory == "'"$(published)"'"'
    # Checked by other means than those it is made with.
    local expected
    expected=v1,$({
        printf '%s.%s.' "$(header 1 webhook-id)" "$(header 1 webhook-timestamp)"
        cat posts/1.body
    } | openssl dgst -sha256 -mac HMAC -macopt "key:sixteen bytes or more" -binary | base64)
    [ "$(header 1 webhook-signature)" = "$expected" ] || fail "signature $(header 1 webhook-signature), not $expected"
    log_says "on_burst: http://127.0.0.1:$port/hook/… done" || fail "no word of it, or the key is shown"
    log_lacks 'key=1'
    stop_service
}

test_an_address_that_fails_is_tried_again()
{
    receive --status 500,503,429,204
    one_stack --on-burst "http://127.0.0.1:$port/" --hook-backoff 0.1
    await_deliveries '1|4|0|-'
    [ "$(header 4 webhook-id)" = "$(header 1 webhook-id)" ] || fail "another id"
    cmp posts/1.body posts/4.body || fail "another body"
    [ "$(header 4 parfocal-attempt)" = 4 ] || fail "the attempt"
    [ -z "$(header 1 webhook-signature)" ] || fail "signed by nobody"
    log_says 'failed: answered 500: says the receiver; it is tried again in 0.1 s' || fail "no word of it"
    stop_service
}

# A receiver may ask for a pause, and may say that it wants no more.
test_what_a_receiver_asks_for()
{
    receive --status 503,410 --retry-after 2
    one_stack --on-burst "http://127.0.0.1:$port/" --hook-backoff 0.05
    await_log 'answered 503: says the receiver; it is tried again in 2.0 s'
    await_deliveries '2|2|2|answered 410: says the receiver'
    stop_service
}

three_are_given_up()
{
    [ "$(deliveries | grep -c '^2|1|1|')" -eq 3 ]
}

# Nobody listens, nobody answers, an answer without an end: none of them stops anything.
test_addresses_that_are_no_good()
{
    receive --delay -1
    one_stack --on-burst "http://127.0.0.1:$port/" --on-burst http://127.0.0.1:1/ --on-burst http://no-such-host.invalid/ \
        --hook-retries 0 --hook-timeout 1
    wait_for 30 three_are_given_up
    deliveries | grep -qi 'timed out' || fail "$(deliveries)"
    deliveries | grep -q 'Failed to connect\|Connection refused' || fail "$(deliveries)"
    stop_service
}

test_an_answer_without_an_end()
{
    receive --status 200 --flood
    one_stack --on-burst "http://127.0.0.1:$port/" --hook-timeout 30
    await_deliveries '1|1|0|-'
    stop_service
}

one_is_given_up()
{
    deliveries | grep -q '^2|1|1|'
}

told_lines_are()
{
    [ "$(wc -l <told/all)" -eq "$1" ]
}

source_is()
{
    "$PARFOCAL" status --state "$T/state" --json 2>/dev/null | jq -e ".sources[0].state == \"$1\"" >/dev/null
}

# What is wrong with the service itself is told to on_failure when it lasts, and not again at each flap.
test_a_degraded_service_is_told()
{
    need jq
    hook tells <<'E'
cat >>"$T/told/all"; echo >>"$T/told/all"
echo "$PARFOCAL_EVENT $PARFOCAL_TROUBLE $PARFOCAL_REASON" >>"$T/told/variables"
E
    mkdir_inbox
    : >told/all
    serve --on-failure "$T/tells" --trouble-after 1.5 --trouble-pause 3600 --poll-interval 0.2
    await_log 'inotify, ok'
    # Away for a moment: nobody is told.
    mv inbox elsewhere
    wait_for 20 source_is missing
    mv elsewhere inbox
    wait_for 20 source_is ok
    sleep 2
    told_lines_are 0 || fail "a moment was told: $(cat told/all)"
    # Away for longer.
    mv inbox elsewhere
    wait_for 20 told_lines_are 1
    tail -n 1 told/all >last
    check last '.event == "service.degraded" and .trouble == "source.0" and (.reason | test("inbox")) and .times == 2 and
        .since_ms > 1700000000000 and (.id | length) == 32'
    grep -q "^service.degraded source.0 folder:$T/inbox: " told/variables || fail "$(cat told/variables)"
    # Well again, for as long.
    mv elsewhere inbox
    wait_for 20 told_lines_are 2
    tail -n 1 told/all >last
    check last '.event == "service.recovered" and .trouble == "source.0" and (.reason | test("inbox")) and
        .since_ms > 1700000000000 and (has("times") | not)'
    # And again: the same is not told within the pause, and so nor is its end.
    mv inbox elsewhere
    wait_for 20 source_is missing
    sleep 2.5
    mv elsewhere inbox
    wait_for 20 source_is ok
    sleep 2
    told_lines_are 2 || fail "it is told again within the pause: $(cat told/all)"
    stop_service
}

# What never lasts, but comes back again and again, is told as well, once.
test_a_worker_that_ends_again_and_again_is_told()
{
    need jq
    local n pid
    hook tells <<'E'
cat >>"$T/told/all"; echo >>"$T/told/all"
E
    mkdir_inbox
    : >told/all
    serve --on-failure "$T/tells" --trouble-after 3600
    for n in 1 2 3 4 5 6; do
        ready_are() { [ "$(grep -ac 'worker ready' "$T/service.err")" -ge "$n" ]; }
        wait_for 60 ready_are
        [ "$n" -eq 6 ] || told_lines_are 0 || fail "it is told after $((n - 1)) times"
        pid=$(child_pid process)
        kill -9 $pid
    done
    wait_for 20 told_lines_are 1
    check told/all '.event == "service.degraded" and .trouble == "worker" and .times == 5'
    stop_service
    told_lines_are 1 || fail "$(cat told/all)"
}

test_https_is_checked()
{
    need openssl
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
    receive --tls "$T/cert.pem" "$T/key.pem"
    one_stack --on-burst "https://127.0.0.1:$port/" --hook-retries 0
    wait_for 20 one_is_given_up
    deliveries | grep -qi 'certificate' || fail "an unknown certificate: $(deliveries)"
    [ ! -e posts/1 ] || fail "it was told nonetheless"
    stop_service
    # The same delivery once more, to whoever is trusted now.
    sqlite3 state/journal.sqlite 'UPDATE deliveries SET state = 0'
    serve --on-burst "https://127.0.0.1:$port/" --hook-ca-file "$T/cert.pem"
    await_deliveries '1|2|0|-'
    check posts/1.body '.event == "burst.published"'
    stop_service
}

test_settings_that_are_wrong()
{
    mkdir_inbox
    expect_status 2 "$PARFOCAL" serve --source folder:inbox --on-burst "mail 'x"
    grep -q "on_burst = mail 'x: a quote is not closed" err || fail "$(cat err)"
    echo secret-secret-secret >secret
    chmod 644 secret
    expect_status 2 "$PARFOCAL" serve --source folder:inbox --hook-secret-file "$T/secret"
    grep -q 'can be read by everybody' err || fail "$(cat err)"
}
