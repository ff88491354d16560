# Clients of the HTTP interface that do not behave: odd requests over raw sockets, readers that do not read,
# connections that say nothing; and the commands that behave.
# time limit: 300
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/http.bash"

# The service with an address; its port in $port.
serve_tcp()
{
    serve_http --http 127.0.0.1:0 "$@"
    wait_for 10 log_says 'http: http://127.0.0.1:[0-9]+/$'
    port=$(sed -n 's,.*http: http://127.0.0.1:\([0-9]*\)/$,\1,p' "$T/service.err")
}

# raw BYTES (as printf has them): the first line of the answer, or nothing
raw()
{
    local line=
    exec 5<>"/dev/tcp/127.0.0.1/$port"
    printf "$1" >&5 2>/dev/null || true
    read -r -t 5 line <&5 || true
    exec 5>&-
    printf '%s' "${line%$'\r'}" | cut -d' ' -f2
}

refuses() # STATUS BYTES
{
    local status
    status=$(raw "$2")
    [ "$status" = "$1" ] || fail "'$status' instead of $1 for $(printf '%q' "$2" | cut -c1-200)"
    alive || fail "the service does not answer any more, after $2"
}

alive()
{
    [ "$(curl -sS --max-time 10 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/healthz")" = 200 ]
}

H='Host: localhost\r\n'

test_odd_requests()
{
    need curl
    serve_tcp
    [ "$(raw "GET /healthz HTTP/1.1\r\n$H\r\n")" = 200 ] || fail "a plain request"
    refuses 400 "GET /healthz\\000 HTTP/1.1\r\n$H\r\n"
    refuses 400 "GET /healthz HTTP/1.1\n$H\r\n"
    refuses 400 "GET /healthz HTTP/1.1\r\n$H: x\r\n\r\n"
    refuses 400 "GET /healthz HTTP/1.1\r\n${H}A : x\r\n\r\n"
    refuses 400 "GET /healthz HTTP/1.1\r\n${H}A: x\r\n y\r\n\r\n"
    refuses 400 "GET /healthz HTTP/1.1\r\n${H}A: x\\000y\r\n\r\n"
    refuses 400 "GET /healthz HTTP/1.1\r\n\r\n"
    refuses 400 "GET /healthz HTTP/1.1\r\n$H$H\r\n"
    refuses 400 "GET /../etc/passwd HTTP/1.1\r\n$H\r\n"
    refuses 400 "GET /api/v1/frames/%%2e%%2e/small.jpg HTTP/1.1\r\n$H\r\n"
    refuses 400 "GET /api/v1/bursts/..%%2f..%%2fetc/preview.jpg HTTP/1.1\r\n$H\r\n"
    refuses 400 "GET http://localhost/healthz HTTP/1.1\r\n$H\r\n"
    refuses 501 "BREW /healthz HTTP/1.1\r\n$H\r\n"
    refuses 505 "GET /healthz HTTP/3.0\r\n$H\r\n"
    refuses 411 "POST /api/v1/finish HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    refuses 400 "POST /api/v1/finish HTTP/1.1\r\n${H}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"
    refuses 413 "PATCH /api/v1/settings HTTP/1.1\r\n${H}Content-Length: 70000\r\n\r\n"
    refuses 417 "POST /api/v1/finish HTTP/1.1\r\n${H}Expect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    refuses 400 '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n' # TLS
    refuses 414 "GET /$(printf 'x%.0s' {1..5000}) HTTP/1.1\r\n$H\r\n"
    refuses 431 "GET / HTTP/1.1\r\n${H}X: $(printf 'x%.0s' {1..17000})\r\n\r\n"
    refuses 431 "GET / HTTP/1.1\r\n$H$(printf 'X: y\\r\\n%.0s' {1..70})\r\n"
    # A request behind another one that is refused, behind a body, in pieces.
    [ "$(raw "GET /healthz HTTP/1.1\r\n$H\r\nGET /healthz HTTP/1.1\r\n$H\r\n")" = 200 ] || fail "two at once"
    refuses 415 "PATCH /api/v1/settings HTTP/1.1\r\n${H}Content-Length: 15\r\nContent-Type: text/plain\r\n\r\n{\"judge\":false}"
    exec 5<>"/dev/tcp/127.0.0.1/$port"
    local piece line
    for piece in 'GET /hea' 'lthz HT' 'TP/1.1\r' '\nHost: loc' 'alhost\r\n\r' '\n'; do
        printf "$piece" >&5
        sleep 0.1
    done
    read -r -t 5 line <&5
    exec 5>&-
    [ "$(cut -d' ' -f2 <<<"$line")" = 200 ] || fail "in pieces: $line"
    # Bodies that are no JSON object.
    local body
    for body in '' '[]' '3' '{' '{"a":1,"a":2}' '{"judge":[]}' '{"judge":null}' "{\"judge\":\"$(printf 'x%.0s' {1..300})\"}"; do
        case $(curl -sS -o out -w '%{http_code}' -X PATCH -H 'Content-Type: application/json' -d "$body" \
            "http://127.0.0.1:$port/api/v1/settings") in
        400 | 422) ;;
        *) fail "body $body: $(cat out)" ;;
        esac
    done
    # Half a request, and gone.
    exec 5<>"/dev/tcp/127.0.0.1/$port"
    printf 'POST /api/v1/finish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nab' >&5
    exec 5>&-
    alive || fail "it does not answer any more"
    stop service
    [ $stopped -eq 0 ] || fail "status $stopped"
}

# kB of memory of the service
resident()
{
    awk '/^VmRSS/ { print $2 }' "/proc/$(cat service.pid)/status"
}

test_one_who_does_not_read_skips_to_the_newest_state()
{
    need curl jq
    serve_tcp
    make_burst shot --frames 20 --width 160 --height 120
    drop "$T"/shot/*.jpg
    await_stacks 1
    local id before n
    id=$(get /bursts | jq -r '.bursts[0].id')
    wait_for 10 state_is "$id" published
    exec 6<>"/dev/tcp/127.0.0.1/$port"
    printf "GET /api/v1/events HTTP/1.1\r\n$H\r\n" >&6
    listen
    before=$(resident)
    for n in {2..11}; do
        expect_reply 202 POST "/bursts/$id/restack"
        await_stacks $n
        wait_for 10 state_is "$id" published
    done
    local told
    told=$(stat -L -c %s events.txt)
    [ "$told" -gt 600000 ] || fail "too little was told to say anything: $told bytes"
    # What it cost: what of it is not in the kernel's buffers; the ring holds the same for all.
    echo "told $told bytes, memory grew by $(($(resident) - before)) kB"
    timeout 3 cat <&6 >slow.txt || true
    exec 6>&-
    grep -q '"reason":"slow"' slow.txt || fail "it was not told that it is behind ($(stat -c %s slow.txt) bytes)"
    [ "$(stat -c %s slow.txt)" -lt "$told" ] || fail "all of it was kept for it"
    heard burst.published || fail "others must not wait for it"
    # Who comes back has all that it has missed, though it is far more than waits for a client at a time.
    local first
    first=$(sed -n 's/^id: //p' events.txt | sed -n 2p)
    timeout 5 curl -sSN --unix-socket state/http -H "Last-Event-ID: $first" http://localhost/api/v1/events >again.txt || true
    ! grep -q '^event: reset' again.txt || fail 'it was told to begin anew'
    diff <(sed -n 's/^id: //p' events.txt | sed 1,2d) <(sed -n 's/^id: //p' again.txt | sed 1d) >diff.txt ||
        fail "what was missed is another: $(head -n 5 diff.txt)"
}

test_idle_connections()
{
    need curl jq
    serve_tcp
    local fds=() fd n
    for n in {1..200}; do
        exec {fd}<>"/dev/tcp/127.0.0.1/$port"
        fds+=("$fd")
    done
    alive || fail "it does not answer among 200 that say nothing"
    wait_for 10 connections_are -ge 200
    for fd in "${fds[@]}"; do
        exec {fd}>&-
    done
    wait_for 10 connections_are -lt 5
}

# A published burst with a stack.tif that no buffer of the kernel takes whole; its path in $download.
serve_a_large_file()
{
    serve_tcp --expected-frames 5
    make_burst burst
    drop burst/*.jpg
    await_stacks 1
    local id
    id=$(get /bursts | jq -r '.bursts[0].id')
    wait_for 10 state_is "$id" published
    truncate -s 40M "$(published)/stack.tif"
    download=/api/v1/bursts/$id/versions/1/stack.tif
}

# begin_download: its reply has begun at descriptor 6, and is not read
begin_download()
{
    local line
    exec 6<>"/dev/tcp/127.0.0.1/$port"
    printf "GET $download HTTP/1.1\r\n$H\r\n" >&6
    read -r -t 10 line <&6
    [ "$(cut -d' ' -f2 <<<"$line")" = 200 ] || fail "no download: $line"
}

# Of too many the newest are refused; those that are served go on.
test_too_many_connections()
{
    need curl jq
    ulimit -n 120 # half of them are for connections
    serve_a_large_file
    begin_download
    local fds=() fd n line said
    for n in {1..50}; do
        exec {fd}<>"/dev/tcp/127.0.0.1/$port"
        fds+=("$fd")
    done
    wait_for 10 connections_are -ge 51
    for n in {1..15}; do
        exec {fd}<>"/dev/tcp/127.0.0.1/$port"
        fds+=("$fd")
    done
    read -r -t 20 line <&"$fd" || fail 'it was not refused'
    [ "$(cut -d' ' -f2 <<<"$line")" = 503 ] || fail "$line"
    printf "GET /healthz HTTP/1.1\r\n${H}Connection: close\r\n\r\n" >&"${fds[0]}"
    read -r -t 20 line <&"${fds[0]}" || fail 'all were refused'
    [ "$(cut -d' ' -f2 <<<"$line")" = 200 ] || fail "$line"
    # One too many that is served already is closed, and told nothing in the midst of what it gets, or behind it.
    for n in {1..5}; do
        exec {fd}<>"/dev/tcp/127.0.0.1/$port"
        fds+=("$fd")
    done
    exec 7<>"/dev/tcp/127.0.0.1/$port"
    printf "GET $download HTTP/1.1\r\n$H\r\n" >&7
    timeout 20 cat <&7 >more || fail 'it is neither served nor closed'
    exec 7>&-
    head -n 1 more | grep -q ' 503 ' || ! grep -aq refused more || fail 'the refusal is in the download'
    for fd in "${fds[@]}"; do
        exec {fd}>&-
    done
    timeout 20 head -c 40M <&6 >got || fail 'the download ended'
    ! grep -aq refused got || fail 'the refusal is in the download'
    [ "$(stat -c %s got)" = 41943040 ] || fail "the download has only $(stat -c %s got) bytes"
    exec 6>&-
    stop_service
}

# What comes behind a request is not heard before its turn, and what of it is refused is not answered in the midst
# of the reply.
test_what_comes_behind_a_download()
{
    need curl jq
    serve_a_large_file
    begin_download
    printf 'nonsense\n' >&6
    timeout 20 cat <&6 >got || fail 'it is neither served nor closed'
    ! grep -aq refused got || fail 'the refusal is in the download'
    exec 6>&-
    begin_download
    local before grown
    before=$(resident)
    # 100 MB, as long as they are taken
    timeout 5 head -c 100M <(yes "$(printf "GET /healthz HTTP/1.1\r\n$H\r")") >&6 || true
    grown=$(($(resident) - before))
    exec 6>&-
    echo "memory grew by $grown kB"
    [ -n "$SAN" ] || [ $grown -lt 5000 ] || fail 'all of it was kept' # a sanitizer keeps what is freed
    wait_for 10 alive
    stop_service
}

connections_are()
{
    [ "$(get /status | jq .clients.connections)" "$1" "$2" ]
}

test_commands()
{
    need curl jq
    serve_http --gap 60
    make_burst shot
    local state=(--state "$T/state") id
    start watch "$PARFOCAL" watch --json "${state[@]}"
    wait_for 10 grep -q '"hello"' watch.out
    drop "$T"/shot/*.jpg
    wait_for 20 all_scored 5
    expect_status 0 "$PARFOCAL" status "${state[@]}"
    grep -q 'worker   ready' out || fail "$(cat out)"
    grep -q 'complete in .* s unless a frame comes' out || fail "no countdown: $(cat out)"
    expect_status 0 "$PARFOCAL" status --json "${state[@]}"
    jq -e '.open | length == 1' out >/dev/null || fail "status --json"
    expect_status 0 "$PARFOCAL" bursts open "${state[@]}"
    id=$(cut -d' ' -f1 out)
    expect_status 0 "$PARFOCAL" discard "$id" IMG_0005.jpg "${state[@]}"
    expect_status 1 "$PARFOCAL" discard "$id" IMG_0099.jpg "${state[@]}"
    expect_status 0 "$PARFOCAL" finish "$id" "${state[@]}"
    await_stacks 1
    wait_for 10 state_is "$id" published
    expect_status 1 "$PARFOCAL" finish "$id" "${state[@]}"
    grep -q 'a burst that is published cannot be finished' err || fail "$(cat err)"
    expect_status 1 "$PARFOCAL" retry "$id" "${state[@]}"
    expect_status 0 "$PARFOCAL" discard "$id" IMG_0005.jpg --undo "${state[@]}"
    await_stacks 2
    wait_for 10 state_is "$id" published
    expect_status 0 "$PARFOCAL" restack "$id" fuse=average "${state[@]}"
    await_stacks 3
    expect_status 0 "$PARFOCAL" bursts "$id" "${state[@]}"
    grep -q 'version 3: .*stack.tif' out || fail "$(cat out)"
    expect_status 0 "$PARFOCAL" scan "${state[@]}"
    expect_status 2 "$PARFOCAL" restack "$id" fuse "${state[@]}"
    expect_status 2 "$PARFOCAL" bursts '../x' "${state[@]}"
    expect_status 2 "$PARFOCAL" finish a b "${state[@]}"
    wait_for 10 grep -q '"burst.published"' watch.out
    local event
    for event in frame.seen frame.scored burst.opened burst.complete burst.again; do
        grep -q "\"event\":\"$event\"" watch.out || fail "watch did not tell $event"
    done
    stop watch
    stop service
    expect_status 1 "$PARFOCAL" status --state "$T/nowhere" --http off
    expect_status 1 "$PARFOCAL" status "${state[@]}" --http 127.0.0.1:1
    # Each action is in the help.
    local command
    for command in status bursts finish retry dismiss restack discard scan settings hooks watch camera bracket; do
        "$PARFOCAL" help | grep -q "^ *$command " || fail "$command is not in the help"
        expect_status 0 "$PARFOCAL" $command --help
    done
}

# Settings of a running service are shown and changed by a command, all or none, and errors name them.
test_settings_by_command()
{
    need curl jq
    serve_http --on-burst /bin/true --gap 30
    local state=(--state "$T/state")
    expect_status 0 "$PARFOCAL" settings "${state[@]}"
    grep -qx 'gap = 30' out && grep -qx 'judge = yes' out || fail "$(cat out)"
    ! grep -q '^outbox' out || fail "what cannot be changed is among them"
    expect_status 0 "$PARFOCAL" settings --all "${state[@]}"
    grep -qx "outbox = $T/outbox  (from the next start of the service on)" out && grep -q '^on_burst = /bin/true  (from' out ||
        fail "$(cat out)"
    expect_status 0 "$PARFOCAL" settings gap align "${state[@]}"
    [ "$(grep -c = out)" = 2 ] || fail "$(cat out)"
    expect_status 0 "$PARFOCAL" settings gap=12 judge=no min-correlation=0.7 "${state[@]}"
    [ "$(sort out)" = "$(printf 'gap = 12\njudge = no\nmin_correlation = 0.7')" ] || fail "$(cat out)"
    get /settings | jq -e '[.settings[] | select(.key == "gap" or .key == "judge") | .value] == ["12", false]' >/dev/null ||
        fail "$(get /settings | jq -c '.settings[] | select(.key == "gap" or .key == "judge")')"
    log_says 'settings changed: .*"gap":"12"' || fail "it is not in the log"
    expect_status 0 "$PARFOCAL" settings --json "${state[@]}"
    jq -e '.settings | length > 50 and any(.key == "gap" and .value == "12" and .changeable)' out >/dev/null || fail "$(head -c 300 out)"
    # None is changed where one is wrong.
    expect_status 1 "$PARFOCAL" settings gap=40 fuse=glue "${state[@]}"
    grep -q 'fuse' err || fail "$(cat err)"
    expect_status 1 "$PARFOCAL" settings gap=40 outbox=/tmp "${state[@]}"
    grep -q 'outbox is no setting that can be changed here' err || fail "$(cat err)"
    expect_status 2 "$PARFOCAL" settings gapp=40 "${state[@]}"
    grep -q 'did you mean gap' err || fail "$(cat err)"
    expect_status 2 "$PARFOCAL" settings gap=40 judge "${state[@]}"
    expect_status 2 "$PARFOCAL" settings gap=40 gap=41 "${state[@]}"
    expect_status 0 "$PARFOCAL" settings gap "${state[@]}"
    grep -qx 'gap = 12' out || fail "$(cat out)"
    # One source is looked at by its name.
    expect_status 0 "$PARFOCAL" scan "folder:$T/inbox" "${state[@]}"
    expect_status 1 "$PARFOCAL" scan folder:/nowhere "${state[@]}"
    grep -q 'there is no source folder:/nowhere' err || fail "$(cat err)"
    # The completion knows them.
    "$PARFOCAL" manual bash | grep -q "settings) options=' --all --json.* operands='.* gap= " || fail "the completion lacks it"
    "$PARFOCAL" manual page | grep -q 'parfocal settings' || "$PARFOCAL" manual page | grep -q 'settings' || fail "the manual lacks it"
    stop_service
    expect_status 1 "$PARFOCAL" settings "${state[@]}" --http off
}

# Every route of the API that does something has its command, or is one.
test_every_action_has_its_command()
{
    local path help
    help=$("$PARFOCAL" help; for path in hooks scan camera settings discard; do "$PARFOCAL" $path --help; done)
    while read -r path; do
        case $path in
        */finish) grep -q '^ *finish ' <<<"$help" ;;
        /api/v1/deliveries/*/retry) grep -q 'hooks \[retry ID\]' <<<"$help" ;;
        */retry) grep -q '^ *retry ' <<<"$help" ;;
        */dismiss) grep -q '^ *dismiss ' <<<"$help" ;;
        */restack) grep -q '^ *restack ' <<<"$help" ;;
        */discard) grep -q '^ *discard ' <<<"$help" ;;
        */restore) grep -q -- '--undo' <<<"$help" ;;
        */sources/*/scan) grep -q 'scan \[SOURCE\]' <<<"$help" ;;
        */scan) grep -q '^ *scan ' <<<"$help" ;;
        'post /api/v1/sources/'*/camera) grep -q 'trigger' <<<"$help" && grep -q '^ *bracket ' <<<"$help" ;;
        'delete /api/v1/sources/'*/camera) grep -q '^ *stop ' <<<"$help" ;;
        'patch /api/v1/settings') grep -q 'settings \[KEY' <<<"$help" ;;
        *' /api/v1/session') ;; # commands have the token with each request
        *) false ;;
        esac || fail "$path has no command"
    done < <(jq -r '.paths | to_entries[] | .key as $p | .value | keys[] | select(IN("post", "patch", "delete", "put")) | "\(.) \($p)"' \
        "$ROOT/service/http/openapi.json")
}
