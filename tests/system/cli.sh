# The command line: help, versions, exit statuses, config check and show, doctor.
. "${BASH_SOURCE%/*}/lib.sh"

test_version_everywhere()
{
    local command version
    expect_status 0 "$PARFOCAL" --version
    version=$(cat out)
    [[ $version =~ ^parfocal\ [^\ ]+$ ]] || fail "odd version: $version"
    for command in -V serve stack doctor config capture process help; do
        if [ "$command" = -V ]; then
            expect_status 0 "$PARFOCAL" -V
        else
            expect_status 0 "$PARFOCAL" "$command" --version
        fi
        [ "$(cat out)" = "$version" ] || fail "$command: $(cat out)"
    done
}

test_help_everywhere()
{
    local command
    expect_status 0 "$PARFOCAL" --help
    grep -q '^usage: parfocal COMMAND' out
    grep -q '^exit status:' out
    for command in serve stack doctor config capture process; do
        grep -q "^  $command " out || fail "$command is not in the help"
    done
    for command in serve stack doctor config capture process; do
        expect_status 0 "$PARFOCAL" "$command" --help
        grep -q "^usage: parfocal $command" out || fail "$command --help has no usage"
        grep -q '^exit status:' out || fail "$command --help has no exit statuses"
        [ ! -s err ] || fail "$command --help writes errors"
        awk 'length > 100 { exit 1 }' out || fail "$command --help has lines over 100 columns"
        cp out by-option
        expect_status 0 "$PARFOCAL" help "$command"
        cmp out by-option || fail "help $command differs from $command --help"
    done
    # Every key of the configuration is an option that serve explains.
    "$PARFOCAL" serve --help >help
    "$PARFOCAL" config show | sed -n 's/^#\?\([a-z_]*\) = .*/\1/p' | tr _ - | while read -r key; do
        grep -Eq -- "--(\[no-\])?$key( |$)" help || fail "serve --help lacks --$key"
    done
    # And no command explains what does nothing there.
    "$PARFOCAL" stack --help >help
    grep -q -- '--motion' help && grep -q -- '--log-level' help || fail "stack --help lacks settings"
    ! grep -E -- '--(open-stacks|worker-memory|no-\]depth-map|gap|outbox|retries)' help ||
        fail "stack --help explains what does nothing there"
    "$PARFOCAL" process --help >help
    grep -q -- '--worker-memory' help || fail "process --help lacks --worker-memory"
    ! grep -E -- '--(open-stacks|outbox)' help || fail "process --help explains too much"
}

test_wrong_usage_is_status_2()
{
    expect_status 2 "$PARFOCAL"
    grep -q '^usage:' err
    expect_status 2 "$PARFOCAL" serv
    grep -q 'did you mean `parfocal serve`' err
    expect_status 2 "$PARFOCAL" brew-coffee
    grep -q 'unknown command brew-coffee' err
    expect_status 2 "$PARFOCAL" help brew-coffee
    expect_status 2 "$PARFOCAL" config
    expect_status 2 "$PARFOCAL" config shw
    expect_status 2 "$PARFOCAL" config show --outbxo x
    grep -q 'did you mean --outbox' err
    expect_status 2 "$PARFOCAL" doctor everything
    expect_status 2 "$PARFOCAL" serve --source nowhere
    grep -q 'folder:DIR' err
    expect_status 2 "$PARFOCAL" serve --source folder:in --source "folder:$PWD/.//in/"
    grep -qF "sources folder:in and folder:$PWD/.//in/ are one folder" err
    expect_status 2 "$PARFOCAL" serve --no-such-option
    expect_status 2 "$PARFOCAL" capture
    expect_status 2 "$PARFOCAL" stack
}

test_options_of_one_name_are_taken_from_every_place()
{
    printf 'gap = 3\nthreads = 7\n' >a.conf
    expect_status 0 "$PARFOCAL" config show --gap=rail -c a.conf
    grep -qx 'gap = rail' out # the option wins, wherever the file stands
    grep -qx 'threads = 7' out
}

test_config_check()
{
    printf '# mine\n[capture]\nsource = folder:/a b\nsource = folder:/c\n[bursts]\ngap = rail\n' >good.conf
    expect_status 0 "$PARFOCAL" config check -c good.conf
    printf 'gap = rail\noutbxo = x\n' >bad.conf
    expect_status 2 "$PARFOCAL" config check -c bad.conf
    grep -q 'bad.conf:2: unknown setting outbxo; did you mean outbox?' err
    printf 'gap = rail\n\nmotion = wobble\n' >bad.conf
    expect_status 2 "$PARFOCAL" config check --config=bad.conf
    grep -q 'bad.conf:3: motion = wobble: must be one of shift|similarity|affine|homography' err
    printf 'min_frames = 1\n' >bad.conf
    expect_status 2 "$PARFOCAL" config check -cbad.conf
    grep -q 'bad.conf:1: min_frames = 1: must be a whole number from 2 to 1000 frames' err
    expect_status 2 "$PARFOCAL" config check -c missing.conf
    grep -q 'missing.conf: No such file' err
    # What refuses the check refuses the start.
    expect_status 2 "$PARFOCAL" serve -c bad.conf
    grep -q 'bad.conf:1: min_frames' err
}

# refuses WORDS LINE...: with these lines the check and the start agree, and nothing is begun
refuses()
{
    local words=$1 command status
    shift
    printf '%s\n' "$@" >bad.conf
    for command in 'config check' serve; do
        # A file that is not there now may be in a moment: a start is tried again.
        status=2
        [[ $command != serve || $words != */none* ]] || status=1
        # shellcheck disable=SC2086 # a command is words
        expect_status $status timeout 20 "$PARFOCAL" $command -c bad.conf --outbox "$T/outbox" --state "$T/state"
        grep -q -- "$words" err || fail "$command, $*: $(cat err)"
    done
    [ ! -e state ] && [ ! -e outbox ] || fail "$*: something was begun"
}

test_what_keeps_the_service_down_fails_the_check()
{
    local source="source = folder:$T/in"
    mkdir in
    echo short >short
    echo 0123456789abcdef >open
    chmod 640 short
    chmod 644 open
    refuses 'no source of frames is given' 'gap = rail'
    refuses 'is given twice' "$source" "$source"
    refuses 'http_token must be set' "$source" 'http = 0.0.0.0:8420'
    refuses 'http = nowhere' "$source" 'http = nowhere'
    refuses 'http_token: a token has at least' "$source" "http_token = $T/short"
    refuses 'token file .*/none: No such file' "$source" "http_token = $T/none"
    expect_status 1 "$PARFOCAL" doctor -c bad.conf
    grep -q '^FAIL  settings  token file .*/none: No such file' out || fail "the doctor: $(cat out)"
    refuses 'http_read_token is of use beside' "$source" 'http_read_token = 0123456789abcdef'
    refuses 'mqtt = broker.lan:mqtt: must be HOST' "$source" 'mqtt = broker.lan:mqtt'
    refuses 'secret .*/none: No such file' "$source" 'mqtt = broker.lan' "mqtt_password_file = $T/none"
    refuses 'MQTT: .*/none: No such file' "$source" 'mqtt = broker.lan' 'mqtt_tls = yes' "mqtt_ca_file = $T/none"
    refuses 'MQTT: Invalid' "$source" 'mqtt = broker.lan' 'mqtt_prefix = a/#'
    refuses 'secret .*/none: No such file' "$source" "hook_secret_file = $T/none"
    refuses 'secret .*/short: the secret is shorter' "$source" "hook_secret_file = $T/short"
    refuses 'secret .*/open can be read by everybody' "$source" "hook_secret_file = $T/open"
}

# as_installed LINE...: the words behind `in_it` run where this is the installed configuration
as_installed()
{
    [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null || skip 'needs root for a mount namespace'
    [ -d etc ] || cp -a /etc etc
    printf '%s\n' "$@" >etc/parfocal.conf
}

in_it()
{
    unshare -m sh -c 'mount --make-rprivate / && mount --bind "$0/etc" /etc && exec "$@"' "$T" "$@"
}

test_without_a_file_the_installed_configuration_is_checked()
{
    as_installed "source = folder:$T/in" 'gap = 7' 'http_read_token = 0123456789abcdef'
    expect_status 2 in_it "$PARFOCAL" config check
    grep -q 'http_read_token is of use beside' err || fail "$(cat err)"
    expect_status 0 in_it "$PARFOCAL" config show
    grep -qx 'gap = 7' out || fail 'another one is shown'
    as_installed "source = folder:$T/in" 'gapp = 7'
    expect_status 2 in_it "$PARFOCAL" config check
    grep -q '/etc/parfocal.conf:2: unknown setting gapp' err || fail "$(cat err)"
    as_installed "source = folder:$T/in"
    expect_status 0 in_it "$PARFOCAL" config check
    grep -qx '/etc/parfocal.conf: the configuration is well' out || fail "$(cat out)"
    # One that is named counts.
    echo 'gap = 7' >mine.conf
    expect_status 2 in_it "$PARFOCAL" config check -c mine.conf
    grep -q 'no source' err || fail "$(cat err)"
}

test_commands_find_the_installed_service()
{
    need setpriv
    mkdir in there elsewhere
    as_installed "source = folder:$T/in" "outbox = $T/there/out" "state = $T/there/state" 'http = off' \
        'http_token = 0123456789abcdef'
    start service "$PARFOCAL" serve -c etc/parfocal.conf
    wait_for 20 test -S there/state/http
    wait_for 20 test -S there/state/control
    expect_status 0 in_it "$PARFOCAL" status --json
    grep -q "$T/there/out" out || fail "$(cat out)"
    # Whatever is said otherwise, and a state directory here, comes first.
    expect_status 1 in_it "$PARFOCAL" status --state "$T/elsewhere" --http off
    expect_status 1 in_it "$PARFOCAL" status --http 127.0.0.1:1
    mkdir state
    in_it "$PARFOCAL" status --json >out 2>err || true # of whatever has the usual port
    ! grep -q "$T/there/out" out || fail "$(cat out)"
    rmdir state
    # Who may not ask it is told what to do.
    chmod 755 "$T" there
    chmod 700 there/state
    setpriv --reuid 65534 --regid 65534 --clear-groups "$PARFOCAL" --version >out 2>&1 || skip 'nobody cannot run it here'
    expect_status 1 in_it setpriv --reuid 65534 --regid 65534 --clear-groups "$PARFOCAL" status
    grep -q 'Permission denied: sudo parfocal status asks the service of /etc/parfocal.conf' err || fail "$(cat err)"
    # A service without cameras is not asked for one.
    expect_status 1 in_it "$PARFOCAL" camera stop
    grep -q 'no service is there' err || fail "$(cat err)"
    echo 'source = camera:12345' >>etc/parfocal.conf
    expect_status 1 in_it "$PARFOCAL" camera stop
    ! grep -q 'no service is there' err || fail "$(cat err)"
    expect_status 1 in_it setpriv --reuid 65534 --regid 65534 --clear-groups "$PARFOCAL" camera stop
    grep -q 'Permission denied: sudo parfocal camera asks' err || fail "$(cat err)"
    stop service
    expect_status 1 in_it "$PARFOCAL" status
    grep -q 'that is the service of /etc/parfocal.conf' err || fail "$(cat err)"
    expect_status 1 in_it "$PARFOCAL" camera stop
    grep -q 'no service is there' err || fail "$(cat err)"
}

test_exit_statuses_are_the_same_everywhere()
{
    "$PARFOCAL" --help | sed -n '/^exit status:/,$s/^  \([0-9]\)  .*/\1/p' >help
    printf '%s\n' 0 1 2 3 4 | diff - help || fail 'the help'
    "$PARFOCAL" manual page | sed -n '/^.SH EXIT STATUS/,/^.SH FILES/s/^.B \([0-9]\)$/\1/p' | diff help - ||
        fail 'the manual page'
    sed -n '/Exit status:/,/^$/p' "$ROOT/README.md" | grep -o '\*\*[0-9]\*\*' | tr -d '*' | diff help - || fail 'README.md'
}

test_config_show_reads_back()
{
    printf 'source = folder:/a;b\nsource = folder:/d \xe9\noutbox = " x"\npoll_interval = 0.3\ndepth_map = no\n' >in.conf
    expect_status 0 "$PARFOCAL" config show -c in.conf
    cp out once.conf
    expect_status 0 "$PARFOCAL" config show -c once.conf
    cmp out once.conf
    grep -qxF 'source = folder:/a;b' out
    grep -qxF 'outbox = " x"' out
    # What is not given is not set: another version's default counts.
    grep -qx '#poll = auto' out || fail 'the default of poll is set'
    # What is installed as the default configuration is one.
    expect_status 0 "$PARFOCAL" config show -c /dev/null
    ! grep '^[a-z]' out || fail 'a default is set'
    cp out default.conf
    expect_status 0 "$PARFOCAL" config check -c default.conf --source folder:in
}

test_full_output_is_an_error()
{
    [ -e /dev/full ] || skip 'no /dev/full'
    local status=0
    "$PARFOCAL" config show >/dev/full 2>err || status=$?
    [ $status -eq 1 ] || fail "config show: status $status"
    grep -q 'No space left' err
    status=0
    "$PARFOCAL" --help >/dev/full 2>err || status=$?
    [ $status -eq 1 ] || fail "--help: status $status"
}

test_closed_descriptors_do_no_harm()
{
    "$PARFOCAL" config show <&- >out 2>&-
    [ -s out ] || fail 'nothing was written'
}

test_doctor_says_what_is_here()
{
    mkdir in
    expect_status 0 "$PARFOCAL" doctor --source "folder:$T/in" --outbox "$T/out-box" --state "$T/st"
    for check in parfocal cores memory gpu camera elastix libevent clock inotify source outbox state; do
        grep -Eq "^(ok  |warn)  $check " out || fail "no word of $check"
    done
    [ ! -e out-box ] && [ ! -e st ] || fail 'the doctor made directories'
}

test_doctor_finds_what_is_missing()
{
    touch a-file
    expect_status 1 "$PARFOCAL" doctor --source "folder:$T/nowhere" --source "folder:$T/a-file" \
        --outbox "$T/a-file/under" --state /proc/parfocal
    grep -q "^FAIL  source .*nowhere" out
    grep -q "mkdir -p '$T/nowhere'" out
    grep -q "^FAIL  source .*a-file: is no folder" out
    grep -q "^FAIL  outbox .*Not a directory" out
    grep -q "^FAIL  state " out
}

test_doctor_json()
{
    need jq
    local odd=$T/$'o\xe9dd'
    mkdir "$odd"
    expect_status 0 "$PARFOCAL" doctor --json --source "folder:$odd"
    jq -e '.well and (.findings | length > 8) and
        all(.findings[]; .check and .text and (.finding | IN("ok", "warn", "fail")))' out >/dev/null
    expect_status 1 "$PARFOCAL" doctor --json --source folder:nowhere
    jq -e '(.well | not) and any(.findings[]; .finding == "fail" and .check == "source" and .remedy)' \
        out >/dev/null
}

test_doctor_sees_fuse_as_polled()
{
    need bindfs
    [ "$(id -u)" -eq 0 ] && [ -e /dev/fuse ] || skip 'needs root and /dev/fuse'
    mkdir low mnt
    bindfs --no-allow-other low mnt 2>why || skip "bindfs: $(cat why)"
    expect_status 0 "$PARFOCAL" doctor --source "folder:$T/mnt"
    grep -q "^warn  source .*mnt: readable (fuse.*polled every" out || fail "$(cat out)"
}

test_doctor_refuses_a_state_on_fuse()
{
    need bindfs
    [ "$(id -u)" -eq 0 ] && [ -e /dev/fuse ] || skip 'needs root and /dev/fuse'
    mkdir low mnt
    bindfs --no-allow-other low mnt 2>why || skip "bindfs: $(cat why)"
    expect_status 1 "$PARFOCAL" doctor --state "$T/mnt/state"
    grep -q '^FAIL  state ' out
    grep -q -- '--state=/var/lib/parfocal/state' out
}

test_doctor_is_not_held_by_a_dead_mount()
{
    need bindfs
    [ "$(id -u)" -eq 0 ] && [ -e /dev/fuse ] || skip 'needs root and /dev/fuse'
    mkdir low mnt
    start fuse bindfs -f --no-allow-other "$T/low" "$T/mnt"
    wait_for 10 mountpoint -q mnt || skip "bindfs: $(cat fuse.err)"
    at_end "kill -CONT $started"
    kill -STOP "$started"
    expect_status 1 timeout 60 "$PARFOCAL" doctor --source "folder:$T/mnt"
    grep -q "^FAIL  source .*mnt does not answer: its mount hangs" out || fail "$(cat out)"
}
