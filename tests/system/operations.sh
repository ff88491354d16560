# What those who run the service ask it: metrics, health, failures that are known, deliveries of hooks.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/http.bash"

# metric NAME{LABELS}: its value
metric()
{
    awk -v name="$1" 'index($0, name " ") == 1 { print $2 }' "$T/metrics"
}

scrape()
{
    curl_in -f -D "$T/head" /metrics >"$T/metrics"
}

# trouble_is ID: there is such a trouble at /healthz
trouble_is()
{
    curl_in /healthz | jq -e --arg id "$1" '[.troubles[].id] | index($id) != null' >/dev/null
}

space_is_known()
{
    scrape
    [ "$(metric 'parfocal_space_free_bytes{what="outbox"}')" -gt 0 ] 2>/dev/null
}

test_metrics_of_a_burst()
{
    need curl
    make_burst burst --frames 4
    serve_http --expected-frames 4 --on-burst /bin/true
    drop burst/*.jpg
    head -c 500 burst/IMG_0001.jpg >inbox/broken.jpg
    await_stacks 1
    await_log 'on_burst: /bin/true done'
    scrape
    grep -qi '^content-type: text/plain; version=0.0.4' head || fail "$(cat head)"
    [ "$(metric parfocal_frames_recorded_total)" = 4 ] || fail "recorded: $(metric parfocal_frames_recorded_total)"
    [ "$(metric parfocal_frames_fused_total)" = 4 ] || fail "fused"
    [ "$(metric 'parfocal_bursts_total{outcome="published"}')" = 1 ] || fail "published"
    [ "$(metric 'parfocal_hook_tries_total{hook="on_burst",result="done"}')" = 1 ] || fail "hooks"
    local stage
    for stage in decode fuse; do
        [ "$(metric "parfocal_stage_seconds_count{stage=\"$stage\"}")" = 4 ] || fail "$stage"
    done
    # The reference is aligned to nothing.
    [ "$(metric 'parfocal_stage_seconds_count{stage="align"}')" -ge 3 ] || fail "align"
    for stage in finish publish; do
        [ "$(metric "parfocal_stage_seconds_count{stage=\"$stage\"}")" = 1 ] || fail "$stage"
    done
    [ "$(metric parfocal_lag_seconds_count)" = 1 ] || fail "lag"
    [ "$(metric parfocal_worker_up)" = 1 ] || fail "worker"
    [ "$(metric 'parfocal_worker_info{device="cpu",device_name=""}')" = 1 ] || fail "device: $(grep worker_info metrics)"
    [ "$(metric "parfocal_source_state{source=\"folder:$T/inbox\",state=\"ok\"}")" = 1 ] || fail "source"
    [ "$(metric 'parfocal_queue_frames{state="waiting"}')" = 0 ] || fail "queue"
    wait_for 20 space_is_known # a thread looks at it
    [ "$(metric parfocal_healthy)" = 1 ] || fail "health: $(curl_in /healthz)"
    ! command -v promtool >/dev/null || promtool check metrics <metrics || fail "promtool"
    stop_service
}

# Each thing that is wrong makes it unhealthy, with its name, and is over when it is over.
test_health_is_honest()
{
    need curl
    [ "$(id -u)" -eq 0 ] || skip "needs root for mounts"
    mkdir inbox outbox
    mount -t tmpfs -o size=700m tmpfs outbox || skip "no mounts here"
    serve_http --rescan-interval 1
    wait_for 20 healthy
    [ "$(curl_in /healthz | jq -c .)" = '{"status":"ok","troubles":[]}' ] || fail "$(curl_in /healthz)"
    # A source that is gone.
    mv inbox away
    wait_for 20 trouble_is source.0
    unhealthy || fail "healthy without its source"
    mv away inbox
    wait_for 20 healthy
    # A worker that does not live.
    local end=$((SECONDS + 20)) seen=
    while [ $SECONDS -lt $end ] && [ -z "$seen" ]; do
        kill -KILL $(child_pid process) 2>/dev/null || true
        ! trouble_is worker || seen=yes
    done
    [ "$seen" ] || fail "healthy without a worker"
    wait_for 60 healthy
    # An outbox that nothing was to be written to, and that nothing can be written to; its disk is nearly
    # full as well.
    mount -o remount,ro,size=100m outbox
    wait_for 60 trouble_is outbox
    wait_for 30 trouble_is space.outbox
    unhealthy || fail "healthy without an outbox"
    mount -o remount,rw,size=700m outbox
    wait_for 90 healthy
    stop_service
}

delivery_is() # FILTER of the newest
{
    get /deliveries | jq -e ".deliveries[0] | $1" >/dev/null
}

# Row 26 of the failure cases as a person sees it: the failure, its reason, and another try.
test_26_a_failed_hook_is_seen_and_retried()
{
    need curl
    cat >hook <<'E'
#!/bin/bash
[ -e "${0%/*}/mended" ] || { echo "the disk is full" >&2; exit 9; }
E
    chmod +x hook
    make_burst burst --frames 3
    serve_http --expected-frames 3 --on-burst "$T/hook" --hook-retries 1 --hook-backoff 0.2
    listen
    drop burst/*.jpg
    await_stacks 1
    wait_for 20 delivery_is '.state == "given_up"'
    delivery_is '.hook == "on_burst" and .tries == 2 and .error == "status 9: the disk is full" and
        .event == "burst.published" and .burst == "'"$(basename "$(published)")"'" and .version == 1' ||
        fail "$(get /deliveries)"
    get /status | jq -e '.hooks[0].state == "given_up"' >/dev/null || fail "not in the status"
    # It is for a person to look at, and no reason to restart the service.
    local id
    id=$(get /deliveries | jq -r '.deliveries[0].id')
    get /status | jq -e '.troubles[] | select(.id == "hook.on_burst.0") | .retry == "/api/v1/deliveries/'"$id"'/retry"' \
        >/dev/null || fail "no trouble: $(get /status | jq .troubles)"
    healthy || fail "a failed hook makes the service unhealthy"
    [ "$(events delivery | jq -r '.delivery.state' | tr '\n' ' ')" = 'running due running given_up ' ] ||
        fail "told: $(events delivery | jq -r '.delivery.state' | tr '\n' ' ')"
    expect_status 0 "$PARFOCAL" hooks --state "$T/state"
    grep -q "^$id on_burst *given_up 2 tries  $T/hook  .*: status 9: the disk is full" out || fail "$(cat out)"
    expect_status 2 "$PARFOCAL" hooks retry --state "$T/state"
    expect_status 1 "$PARFOCAL" hooks retry none --state "$T/state"
    touch mended
    expect_status 0 "$PARFOCAL" hooks retry "$id" --state "$T/state"
    wait_for 20 delivery_is '.state == "done" and .tries == 3 and .error == null'
    get /status | jq -e '[.troubles[].id | startswith("hook.")] | any | not' >/dev/null || fail "it is still a trouble"
    expect_reply 409 POST "/deliveries/$id/retry"
    expect_reply 404 POST "/deliveries/none/retry"
    stop_service
}

# What has failed and is known is no trouble any more, also after a restart; it stays failed, and a further failure is told.
test_a_failure_is_dismissed()
{
    need curl jq
    mkdir_inbox
    local id state=(--state "$T/state")
    make_burst shot --frames 3
    serve_http --min-correlation 1
    drop "$T"/shot/*.jpg
    wait_for 30 counts 1 '/bursts?state=failed'
    id=$(get /bursts | jq -r '.bursts[0].id')
    is_trouble()
    {
        get /status | jq -e --arg id "burst.$id" '.troubles | any(.id == $id)' >/dev/null
    }
    is_trouble || fail "a failed burst is no trouble"
    [ "$(get /status | jq -r '.troubles[0].dismiss')" = "/api/v1/bursts/$id/dismiss" ] || fail "$(get /status)"
    listen
    expect_reply 404 POST /bursts/none/dismiss
    expect_reply 202 POST "/bursts/$id/dismiss"
    ! is_trouble || fail "it is still a trouble"
    wait_for 10 heard trouble
    expect_reply 409 POST "/bursts/$id/dismiss"
    get "/bursts/$id" | jq -e '.state == "failed"' >/dev/null || fail "$(get "/bursts/$id")"
    stop_service
    serve_http --min-correlation 1
    counts 1 '/bursts?state=failed' || fail "it has not failed any more"
    ! is_trouble || fail "a restart has brought it back"
    # All of them, by command; what fails again is a trouble again.
    expect_status 0 "$PARFOCAL" dismiss "${state[@]}"
    grep -qx 'no failed burst is left to dismiss' out || fail "$(cat out)"
    expect_status 0 "$PARFOCAL" retry "$id" "${state[@]}"
    wait_for 30 is_trouble
    expect_status 0 "$PARFOCAL" status "${state[@]}"
    grep -q '^trouble .*(it can be retried, or dismissed)' out || fail "$(cat out)"
    expect_status 0 "$PARFOCAL" dismiss "${state[@]}"
    grep -qx dismissed out || fail "$(cat out)"
    ! is_trouble || fail "it is still a trouble"
    stop_service
}
