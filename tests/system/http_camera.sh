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
    # A word for each frame, and the last one.
    events camera | jq -se 'map(select(.answer.taken != null)) | length >= 4' >/dev/null || fail "$(events camera)"
    get /sources | jq -e '.sources[0].ask == null' >/dev/null || fail "it is still busy"
    # A bracket that is stopped.
    expect_reply 202 POST /sources/0/camera '{"do":"bracket","frames":50,"step":100,"settle_ms":300}'
    expect_reply 202 DELETE /sources/0/camera
    wait_for 30 camera_is_free
    expect_reply 409 DELETE /sources/0/camera
}

camera_is_done()
{
    events camera | jq -se 'any(.answer.done)' >/dev/null
}

camera_is_free()
{
    [ "$(get /sources | jq '.sources[0].ask')" = null ]
}
