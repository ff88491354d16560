# For the tests of the HTTP interface: sourced after serve.bash.

# curl takes short paths of sockets only: tests are in $T, and name it from there.
# The service with its socket in $T/state alone, unless options say more.
serve_http()
{
    mkdir_inbox
    rm -f "$T/state/http"
    serve "$@"
    wait_for 20 [ -S "$T/state/http" ]
}

# curl_in [OPTIONS] PATH: through that socket
curl_in()
{
    curl -sS --max-time 60 --unix-socket state/http "${@:1:$#-1}" "http://localhost${*: -1}"
}

# get PATH (below /api/v1): the body
get()
{
    curl_in -f "/api/v1$1"
}

# status_of PATH
status_of()
{
    curl_in -o /dev/null -w '%{http_code}' "$1"
}

# expect_reply STATUS METHOD PATH [BODY]: the reply is in $T/reply
expect_reply()
{
    local status
    status=$(curl_in -o "$T/reply" -w '%{http_code}' -X "$2" ${4:+-H 'Content-Type: application/json' -d "$4"} "/api/v1$3")
    [ "$status" = "$1" ] || fail "$status instead of $1: $2 $3 ${4:-}: $(cat "$T/reply")"
}

# counts N PATH: that many bursts
counts()
{
    [ "$(get "$2" | jq '.bursts | length')" = "$1" ]
}

# all_scored N: frames of the newest burst
all_scored()
{
    [ "$(get "/bursts/$(get /bursts | jq -r '.bursts[0].id')" | jq '[.items[] | select(.state == "scored")] | length')" = "$1" ]
}

state_is()
{
    [ "$(get "/bursts/$1" | jq -r .state)" = "$2" ]
}

source_is_ok()
{
    [ "$(get /sources | jq -r '.sources[0].state')" = ok ]
}

healthy()
{
    [ "$(status_of /healthz)" = 200 ]
}

unhealthy()
{
    [ "$(status_of /healthz)" = 503 ]
}

# listen: events go to $T/events.txt
listen()
{
    start listener curl -sSN --unix-socket state/http http://localhost/api/v1/events
    ln -sf listener.out "$T/events.txt"
    wait_for 30 grep -q 'event: hello' "$T/events.txt"
}

# listen_after ID FILE [QUERY]
listen_after()
{
    curl -sSN --unix-socket state/http -H "Last-Event-ID: $1" "http://localhost/api/v1/events${3:-}" >"$T/$2" &
}

heard()
{
    grep -q "^event: $1\$" "$T/events.txt"
}

# events TYPE: the data of each
events()
{
    sed -n "/^event: $1\$/{n;s/^data: //p}" "$T/events.txt"
}
