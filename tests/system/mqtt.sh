# parfocal serve --mqtt: Debian's broker, and what its own client sees.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/broker.bash"

client=()
# subscribe: everything that is said goes to $T/said, one line "TOPIC VALUE"
subscribe()
{
    start subscriber mosquitto_sub -h 127.0.0.1 -p "$port" "${client[@]}" -t '#' -F '%t %p'
    said=$T/subscriber.out
}

# value TOPIC: what was said of it last
value()
{
    sed -n "s|^$1 ||p" "$said" | tail -n 1
}

value_is() # TOPIC JQ_FILTER
{
    [ "$(value "$1" | jq -r "$2" 2>/dev/null)" = true ]
}

text_is() # TOPIC TEXT
{
    [ "$(value "$1")" = "$2" ]
}

test_the_state_is_told()
{
    broker
    subscribe
    make_burst burst --frames 3
    mkdir_inbox
    serve --expected-frames 3 --mqtt "127.0.0.1:$port" --mqtt-name box
    await_log "MQTT: connected to 127.0.0.1:$port"
    wait_for 10 text_is parfocal/box/availability online
    wait_for 10 value_is parfocal/box/worker '.state == "ready" and .device == "cpu"'
    wait_for 10 value_is parfocal/box/source/0 '.state == "ok"'
    wait_for 10 value_is parfocal/box/problem '.problem == "OFF"'
    value_is homeassistant/binary_sensor/parfocal_box/problem/config '.device_class == "problem" and
        .state_topic == "parfocal/box/problem" and .availability_topic == "parfocal/box/availability"' ||
        fail "no discovery: $(value homeassistant/binary_sensor/parfocal_box/problem/config)"
    drop burst/*.jpg
    await_stacks 1
    wait_for 10 value_is parfocal/box/burst '.state == "published" and .fused == 3 and
        .directory == "'"$(published)"'"'
    wait_for 10 value_is parfocal/box/counts '.frames == 3 and .published == 1 and .queue_bursts == 0 and .queue_frames == 0'
    # Who comes later finds all of it as well: it is retained.
    mosquitto_sub -h 127.0.0.1 -p "$port" -t 'parfocal/box/burst' -C 1 -W 5 | jq -e '.fused == 3' >/dev/null ||
        fail "not retained"
    # A source that goes is a problem.
    mv inbox elsewhere
    wait_for 20 value_is parfocal/box/source/0 '.state == "missing"'
    wait_for 10 value_is parfocal/box/problem '.problem == "ON" and (.troubles | length) >= 1'
    stop_service
    wait_for 10 text_is parfocal/box/availability offline
}

# What was wrong before there was anybody to be told: here the port of the page is the broker's.
test_troubles_of_the_start_are_told()
{
    broker
    subscribe
    mkdir_inbox
    serve --http "127.0.0.1:$port" --mqtt "127.0.0.1:$port" --mqtt-name box --mqtt-discovery off
    wait_for 10 value_is parfocal/box/problem '.problem == "ON" and (.troubles | length) == 1'
    stop_service
}

# The broker is told by the broken connection, through the last will.
test_a_service_that_is_killed()
{
    broker
    subscribe
    mkdir_inbox
    serve --mqtt "127.0.0.1:$port" --mqtt-name box --mqtt-discovery off
    wait_for 10 text_is parfocal/box/availability online
    stop service KILL
    wait_for 10 text_is parfocal/box/availability offline
    ! grep -q '^homeassistant/' "$said" || fail "discovery although it is off"
}

# A broker that is not there, goes, and comes back keeps nothing waiting, and is told all again.
test_a_broker_that_goes_and_comes()
{
    need mosquitto mosquitto_sub
    free_port
    make_burst burst --frames 3
    mkdir_inbox
    serve --expected-frames 3 --mqtt "127.0.0.1:$port" --mqtt-name box
    await_log 'MQTT: 127.0.0.1:[0-9]+: Connection refused; it is tried again'
    drop burst/*.jpg
    await_stacks 1
    broker
    await_log 'MQTT: connected' 30
    subscribe
    wait_for 10 value_is parfocal/box/burst '.state == "published"'
    kill "$(cat subscriber.pid)"
    stop broker
    wait_for 20 log_counts 'MQTT: 127.0.0.1' 2
    broker # it remembers nothing
    subscribe
    wait_for 60 value_is parfocal/box/burst '.state == "published"'
    stop_service
}

# Two services of one name, which is a mistake: the broker ends one for the other, and they do not do so for ever.
test_two_of_one_name()
{
    broker
    mkdir_inbox
    serve --mqtt "127.0.0.1:$port" --mqtt-name box
    mkdir other
    start other "$PARFOCAL" serve --source "folder:$T/other" --outbox "$T/other-outbox" --state "$T/other-state" \
        --http off --mqtt "127.0.0.1:$port" --mqtt-name box
    sleep 14 # 1, 1, 2, 2, 4, 4 s between them
    [ "$(cat service.err other.err | grep -ac 'MQTT: connected')" -le 10 ] ||
        fail "$(cat service.err other.err | grep -ac 'MQTT: connected') times in 14 s"
    log_says 'MQTT: connected' || fail "never"
    stop other
    stop_service
}

# A source that the configuration has no longer is not there for who comes later.
test_a_source_that_was_taken_out()
{
    broker
    mkdir_inbox
    mkdir other
    serve --source "folder:$T/other" --mqtt "127.0.0.1:$port" --mqtt-name box
    subscribe
    wait_for 10 value_is parfocal/box/source/1 '.state == "ok"'
    stop_service
    serve --mqtt "127.0.0.1:$port" --mqtt-name box
    wait_for 10 text_is parfocal/box/source/1 ''
    wait_for 10 text_is homeassistant/sensor/parfocal_box/source_1/config ''
    value_is parfocal/box/source/0 '.state == "ok"' || fail "the other one is forgotten"
    stop_service
}

log_counts() # PATTERN N
{
    [ "$(grep -acE -- "$1" "$T/service.err")" -ge "$2" ]
}

test_a_password_and_tls()
{
    need mosquitto mosquitto_sub mosquitto_passwd openssl
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
    touch users
    mosquitto_passwd -b users lab 'pass word' 2>/dev/null
    echo 'pass word' >password
    echo 'wrong' >wrong
    chmod 600 password wrong
    client=(-u lab -P 'pass word' --cafile cert.pem)
    broker "certfile $T/cert.pem" "keyfile $T/key.pem" "password_file $T/users" "allow_anonymous false"
    mkdir_inbox
    serve --mqtt "127.0.0.1:$port" --mqtt-name box --mqtt-tls --mqtt-ca-file "$T/cert.pem" \
        --mqtt-user lab --mqtt-password-file "$T/password"
    await_log 'MQTT: connected'
    subscribe
    wait_for 10 text_is parfocal/box/availability online
    stop_service
    serve --mqtt "127.0.0.1:$port" --mqtt-tls --mqtt-ca-file "$T/cert.pem" --mqtt-user lab \
        --mqtt-password-file "$T/wrong"
    await_log 'MQTT: .*([Nn]ot authori[sz]ed|[Bb]ad user)'
    stop_service
    # Nobody vouches for its certificate.
    serve --mqtt "127.0.0.1:$port" --mqtt-tls --mqtt-user lab --mqtt-password-file "$T/password"
    await_log 'MQTT: .*(TLS|certificate|protocol|Protocol)'
    log_lacks 'MQTT: connected'
    stop_service
}

# A broker that takes the connection and says nothing: the service stops in time all the same.
test_a_broker_that_says_nothing()
{
    free_port
    need python3
    start silent python3 -c "import socket, time
s = socket.socket()
s.bind(('127.0.0.1', $port))
s.listen()
time.sleep(1000)"
    wait_for 10 listens
    make_burst burst --frames 3
    mkdir_inbox
    serve --expected-frames 3 --mqtt "127.0.0.1:$port"
    drop burst/*.jpg
    await_stacks 1
    stop_service
    log_lacks 'MQTT: connected'
}
