# service/http/openapi.json against the running program: every path and method is answered as described,
# every reply and every event is of its schema, and there is nothing that is not described.
# time limit: 300
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/http.bash"

API=$ROOT/service/http/openapi.json

# is_of SCHEMA FILE: what is wrong is said
is_of()
{
    local wrong
    wrong=$(jq -nr --slurpfile api "$API" --slurpfile value "$2" --argjson schema "$1" -f "$ROOT/tests/system/schema.jq") ||
        fail "the check itself has failed: $2"
    [ -z "$wrong" ] || fail "$2 ($3): $(head -n 5 <<<"$wrong")"
}

# Values for the parameters of paths and queries.
fill()
{
    sed -e "s/{burst}/$burst/; s/{frame}/$frame/; s/{source}/0/; s/{map}/depth/; s/{what}/stack/; s/{level}/0/" \
        -e "s/{x}/0/; s/{y}/0/; s/{number}/1/; s/{file}/stack.json/; s/{size}/small/; s/{delivery}/none/" <<<"$1"
}

# Bodies of those that need one.
body_of()
{
    case $1 in
    login) echo '{"token":"any"}' ;;
    restack) echo '{"settings":{"align":"ecc"}}' ;;
    camera) echo '{"do":"list"}' ;;
    setSettings) echo '{"judge":true}' ;;
    esac
}

# One operation: its reply is described, and is of its schema.
operation()
{
    local path=$1 method=$2 id=$3 status type schema described
    described=$(jq -c --arg p "$path" --arg m "$method" '.paths[$p][$m].responses' "$API")
    [ "$id" != events ] || return 0
    local body
    body=$(body_of "$id")
    curl_in -o reply -D head -X "${method^^}" ${body:+-H 'Content-Type: application/json' -d "$body"} "$(fill "$path")"
    status=$(sed -n '1s/^[^ ]* \([0-9]*\).*/\1/p' head)
    type=$(tr -d '\r' <head | sed -n 's/^content-type: \([^;]*\).*/\1/Ip')
    schema=$(jq -c --slurpfile api "$API" --arg s "$status" '
        def follow: if has("$ref") then (.["$ref"] | ltrimstr("#/") | split("/")) as $at | $api[0] | getpath($at) else . end;
        (.[$s] // .default // empty) | follow | .content // {}' <<<"$described")
    [ "$schema" ] || fail "$method $path: status $status is not described"
    echo "$method $path: $status $type"
    [ "$status" != 500 ] || fail "$method $path: $(cat reply)"
    if [ "$status" -ge 400 ] && jq -e '.error.message == "there is no such thing here"' reply >/dev/null 2>&1; then
        fail "$method $path is not there"
    fi
    case $type in
    application/json)
        [ "$id" = download ] || is_of "$(jq -c '.["application/json"].schema' <<<"$schema")" reply "$method $path" ;;
    *)
        jq -e --arg t "$type" 'has($t) or has("*/*")' <<<"$schema" >/dev/null || fail "$method $path: $type is not described" ;;
    esac
    echo "$status" >"status.$id"
}

test_everything_described_is_answered_so()
{
    need curl jq
    serve_http --on-burst /bin/true
    listen
    make_burst shot
    drop "$T"/shot/*.jpg
    # Not a file that is being written, for which the burst would wait.
    touch -d '1 hour ago' empty.jpg
    mv empty.jpg inbox/
    await_stacks 1
    wait_for 10 heard burst.published
    local burst frame path method id
    burst=$(get /bursts | jq -r '.bursts[0].id')
    frame=$(get "/bursts/$burst" | jq -r '.items[0].frame')
    while IFS=$'\t' read -r path method id; do
        operation "$path" "$method" "$id"
    done < <(jq -r '.paths | to_entries[] | .key as $p | .value | to_entries[] |
        select(.key | IN("get", "post", "patch", "delete")) | [$p, .key, .value.operationId] | @tsv' "$API" |
        sort -t$'\t' -k2) # what changes something comes last
    # Those that are to succeed here have.
    for id in health metrics openapi session login status bursts burst preview map tile download frames frame thumbnail \
        sources settings deliveries; do
        [ "$(cat status.$id)" = 200 ] || fail "$id: $(cat status.$id)"
    done
    [ "$(cat status.setSettings)" = 200 ] || fail "setSettings"
    for id in finishAll retryAll dismissAll scanAll scan; do
        [ "$(cat status.$id)" = 202 ] || fail "$id: $(cat status.$id)"
    done
    # Events: each is of its schema.
    sleep 1
    local type
    for type in $(sed -n 's/^event: //p' events.txt | sort -u); do
        events "$type" >events.json
        is_of "$(jq -ce --arg t "$type" '."x-events"[$t].data' "$API")" events.json "event $type"
    done
    echo "events: $(sed -n 's/^event: //p' events.txt | sort | uniq -c | tr -s ' \n' ' ')"
    # With the grids, and a burst that is open, frames that were set aside.
    curl_in -o reply "/api/v1/bursts/$burst?grids=1"
    is_of '{"$ref":"#/components/schemas/Burst"}' reply "with grids"
}

test_there_is_nothing_that_is_not_described()
{
    need curl jq
    serve_http
    # Each path says with 405 what it takes.
    local burst=none frame=none path allowed described
    while IFS=$'\t' read -r path described; do
        allowed=$(curl_in -o /dev/null -D - -X PUT "$(fill "$path")" | tr -d '\r' | sed -n 's/^Allow: //pI' |
            sed 's/HEAD, //; s/HEAD//' | tr -d ' ' | tr , '\n' | sed '/^$/d' | sort | tr '\n' ' ')
        [ "$allowed" = "$described " ] || fail "$path takes $allowed, and is described with $described"
    done < <(jq -r '.paths | to_entries[] | [.key, (.value | keys | map(select(IN("get", "post", "patch", "delete")) |
        ascii_upcase) | sort | join(" "))] | @tsv' "$API")
    # The routes of the program, with * for what is between braces.
    diff <(jq -r '.paths | keys[]' "$API" | sed 's/{[^}]*}/*/g' | sort -u) \
        <(sed -n 's,^#define BURST *"\(.*\)",\1,p' "$ROOT/service/http/api.c" >burst
            sed -n 's/^    {[A-Z_|]*, \(BURST\)\{0,1\} *"\{0,1\}\([^",]*\)"\{0,1\}, PF_ACCESS.*/\1\2/p' "$ROOT/service/http/api.c" |
            sed "s,^BURST,$(cat burst)," | grep -v -x -e / -e '/\*' -e '/\*/\*' | sort -u) ||
        fail "the routes are not those of the description"
}
