# A camera that is asked through the HTTP interface: its settings, a shot, a bracket.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/camera.bash"
. "${BASH_SOURCE%/*}/http.bash"

test_a_camera_is_asked()
{
    need curl jq
    make_burst files --frames 4
    camera body files --profile nikon --steps 100
    serve_camera --gap 60
    listen
    wait_for 20 source_is_ok
    get /sources | jq -e '.sources[0] | .kind == "camera" and .serial != null' >/dev/null || fail "$(get /sources)"
    expect_reply 200 POST /sources/0/camera '{"do":"list"}'
    jq -e '.done and (.settings | length) > 3' reply >/dev/null || fail "$(cat reply)"
    expect_reply 200 POST /sources/0/camera '{"do":"get","name":"capturetarget"}'
    jq -e '.setting.value' reply >/dev/null || fail "$(cat reply)"
    expect_reply 502 POST /sources/0/camera '{"do":"get","name":"nosuchsetting"}'
    expect_reply 422 POST /sources/0/camera '{"do":"set","name":"capturetarget"}'
    expect_reply 422 POST /sources/0/camera '{"do":"frobnicate"}'
    expect_reply 202 POST /sources/0/camera '{"do":"bracket","frames":4,"step":100,"settle_ms":20}'
    expect_reply 409 POST /sources/0/camera '{"do":"trigger"}'
    get /sources | jq -e '.sources[0].ask.do == "bracket"' >/dev/null || fail "$(get /sources)"
    await_stacks 1 60
    wait_for 10 camera_is_done
    get "/bursts/$(get /bursts | jq -r '.bursts[0].id')" | jq -e '[.items[].focus_at] == [0, 1, 2, 3]' >/dev/null ||
        fail "its frames do not say where the focus was"
    # A word for each frame, and the last one.
    events camera | jq -se 'map(select(.answer.taken != null)) | length >= 4' >/dev/null || fail "$(events camera)"
    get /sources | jq -e '.sources[0].ask == null' >/dev/null || fail "it is still busy"
    # A bracket that is stopped.
    expect_reply 202 POST /sources/0/camera '{"do":"bracket","frames":50,"step":100,"settle_ms":300}'
    expect_reply 202 DELETE /sources/0/camera
    wait_for 30 camera_is_free
    expect_reply 409 DELETE /sources/0/camera
    # And by a command, whoever has begun it.
    expect_reply 202 POST /sources/0/camera '{"do":"bracket","frames":50,"step":100,"settle_ms":300}'
    expect_status 0 asked camera stop
    wait_for 30 camera_is_free
    expect_status 1 asked camera stop
    grep -q 'at nothing that could be stopped' err || fail "$(cat err)"
    expect_status 1 "$PARFOCAL" camera stop --state "$T/nowhere"
    grep -q 'no service is there' err || fail "$(cat err)"
}

# A dry run says whether the camera can, to whoever asked, and shoots nothing.
test_a_dry_run_says_whether_the_camera_can()
{
    need curl jq
    make_burst files --frames 3
    camera body files --profile nikon
    serve_camera --gap 60
    wait_for 20 source_is_ok
    expect_reply 200 POST /sources/0/camera '{"do":"bracket","frames":4,"step":100,"dry_run":true}'
    jq -e '.done and .can and .setting == "manualfocusdrive" and .step_is == "count" and .step_most == 32767 and
        (.camera | length > 0) and .error == null' reply >/dev/null || fail "$(cat reply)"
    asked bracket --frames 4 --step -100 --dry-run >out
    grep -q '4 frames, manualfocusdrive by -100 before each but the first (-300 in all).* steps from 1 to 32767; nothing was shot' out ||
        fail "$(cat out)"
    for body in '"frames":1,"step":2' '"frames":4,"step":0' '"frames":4,"step":40000' '"frames":4' \
        '"frames":4,"step":4294967298' '"frames":4,"step":1,"settle_ms":-1'; do
        expect_reply 422 POST /sources/0/camera "{\"do\":\"bracket\",$body,\"dry_run\":true}"
    done
    [ -z "$(tell list)" ] || fail "something was shot"
    focus_is 0 0
    get /sources | jq -e '.sources[0].ask == null' >/dev/null || fail "it is still busy"
    [ "$(get /bursts | jq '.bursts | length')" = 0 ] || fail "there is a burst"
}

test_a_dry_run_says_that_the_camera_cannot()
{
    need curl jq
    make_burst files --frames 3
    camera body files # of a maker whose focus is not known
    serve_camera --gap 60
    listen
    wait_for 20 source_is_ok
    expect_reply 200 POST /sources/0/camera '{"do":"bracket","frames":4,"step":100,"dry_run":true}'
    jq -e '.done and .can == false and .setting == null and (.error | test("cannot be driven"))' reply >/dev/null || fail "$(cat reply)"
    events camera | jq -se 'any(.answer.can == false)' >/dev/null || fail "no event: $(events camera)"
    expect_status 1 asked bracket --frames 4 --step 100 --dry-run
    grep -q 'the focus of this camera (Parfocal) cannot be driven' err || fail "$(cat err)"
    [ ! -s out ] || fail "it says as well: $(cat out)"
    # A real one is refused with the same reason.
    expect_status 1 asked bracket --frames 4 --step 100
    grep -q 'cannot be driven' err || fail "$(cat err)"
    stop_service
    # One that has other steps says which.
    camera eos files --profile canon
    serve_camera --gap 60
    wait_for 20 source_is_ok
    expect_reply 200 POST /sources/0/camera '{"do":"bracket","frames":4,"step":100,"dry_run":true}'
    jq -e '.can == false and .step_is == "size" and .step_most == 3 and (.error | test("from 1 to 3"))' reply >/dev/null || fail "$(cat reply)"
    [ -z "$(tell list)" ] || fail "something was shot"
}

camera_is_done()
{
    events camera | jq -se 'any(.answer.done)' >/dev/null
}

camera_is_free()
{
    [ "$(get /sources | jq '.sources[0].ask')" = null ]
}
