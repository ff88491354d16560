# Debian's MQTT broker, as a test's own: sourced after lib.sh.

export PATH=$PATH:/usr/sbin

# A port of 127.0.0.1 that is free now.
free_port()
{
    local try
    for try in {1..50}; do
        port=$((20000 + RANDOM % 20000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
    done
    fail "no free port"
}

# broker [LINES OF CONFIGURATION]: on $port, which it chooses unless it is set
broker()
{
    need mosquitto mosquitto_sub
    [ "${port:-}" ] || free_port
    {
        echo "listener $port 127.0.0.1"
        echo "persistence false"
        [ $# -eq 0 ] && echo "allow_anonymous true" || printf '%s\n' "$@"
        [ "$(id -u)" -ne 0 ] || echo "user root"
    } >broker.conf
    start broker mosquitto -c "$T/broker.conf"
    wait_for 10 listens
}

listens()
{
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}
