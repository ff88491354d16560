#!/bin/bash
# What `parfocal doctor` must find, each with the command that mends it. The system's state is staged in a
# mount namespace of its own: what the doctor reads of /proc, /sys and /dev is put over there.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/broker.bash"

# staged SCRIPT [OPTIONS...]: the doctor in a namespace in which the script has run; its words are in out
staged()
{
    local script=$1 status=0
    shift
    [ "$(id -u)" -eq 0 ] || skip 'needs root for a mount namespace'
    unshare -m true 2>/dev/null || skip 'no mount namespace can be made'
    unshare -m bash -eu -c "mount --make-rprivate /; $script"'; exec "$@"' bash \
        "$PARFOCAL" doctor --outbox "$T/outbox" --state "$T/state" "$@" >out 2>err </dev/null || status=$?
    [ $status -le 1 ] && [ -s out ] || { cat err; skip "cannot be staged here: $(tail -n 1 err)"; }
    return 0
}

# finds FINDING CHECK TEXT COMMAND: the line of the check, and what mends it in the next one
finds()
{
    grep -aEA1 "^$1  *$2 .*$3" out | grep -aqE -- "-> .*$4" || { cat out; fail "no word of $2: $3, $4"; }
}

card='mkdir -p /sys/bus/pci/devices 2>/dev/null || true; mount -t tmpfs none /sys/bus/pci/devices
    mkdir /sys/bus/pci/devices/0000:01:00.0
    echo 0x10de >/sys/bus/pci/devices/0000:01:00.0/vendor; echo 0x030000 >/sys/bus/pci/devices/0000:01:00.0/class'

driver() # VERSION
{
    printf '%s' "mount -t tmpfs none /proc/driver; mkdir /proc/driver/nvidia; echo 'NVRM version: NVIDIA UNIX \
x86_64 Kernel Module  $1  Sun Jul  9 00:00:00 UTC 2023' >/proc/driver/nvidia/version"
}

no_gpu_here()
{
    [ ! -e /proc/driver/nvidia/version ] && [ ! -e /dev/nvidia0 ] || skip 'there is a GPU here'
}

test_no_gpu()
{
    no_gpu_here
    staged 'mount -t tmpfs none /sys/bus/pci/devices'
    grep -q '^ok    gpu .*no NVIDIA GPU' out || fail "$(cat out)"
    staged 'mount -t tmpfs none /sys/bus/pci/devices' --device cuda
    finds FAIL gpu 'device = cuda, but' 'set device = auto'
}

test_a_card_without_a_driver()
{
    no_gpu_here
    staged "$card"
    finds warn gpu 'an NVIDIA card, but no driver' 'apt-get install nvidia-driver'
    staged "$card" --device cuda
    finds FAIL gpu 'an NVIDIA card, but no driver' 'apt-get install nvidia-driver'
}

test_a_driver_that_is_too_old()
{
    no_gpu_here
    staged "$(driver 470.223.02)"
    finds warn gpu 'driver 470.223.02 is too old, 525 or later' 'apt-get install nvidia-driver'
    # One that is new enough, and has made no device files.
    staged "$(driver 535.183.01)"
    finds warn gpu 'driver 535.183.01 without device nodes' 'nvidia-modprobe'
}

# Root's doctor would not see it: CUDA loads what is missing for root.
test_a_driver_without_its_part_for_computing()
{
    no_gpu_here
    staged "$(driver 535.183.01); mkdir dev; mount -t tmpfs none dev
        for node in null zero random urandom; do touch dev/\$node; mount --bind /dev/\$node dev/\$node; done
        touch dev/nvidia0 dev/nvidiactl; mount --rbind dev /dev"
    finds warn gpu 'driver 535.183.01 without .*nvidia-uvm' 'nvidia-modprobe -u -c 0'
}

camera='mount -t tmpfs none /sys/bus; mkdir -p /sys/bus/usb/devices/1-2 /sys/bus/usb/devices/1-2:1.0
    echo 1 >/sys/bus/usb/devices/1-2/busnum; echo 7 >/sys/bus/usb/devices/1-2/devnum
    echo "Fine Camera" >/sys/bus/usb/devices/1-2/product
    echo 06 >/sys/bus/usb/devices/1-2:1.0/bInterfaceClass; echo 01 >/sys/bus/usb/devices/1-2:1.0/bInterfaceSubClass
    mount -t tmpfs none /dev/shm; mkdir -p /dev/bus/usb; mount -t tmpfs none /dev/bus/usb
    mkdir /dev/bus/usb/001; touch /dev/bus/usb/001/007; chmod 600 /dev/bus/usb/001/007'

test_a_camera_held_by_gvfs()
{
    need sleep
    cp "$(command -v sleep)" gvfsd-gphoto2
    staged "$camera; $T/gvfsd-gphoto2 60 7<>/dev/bus/usb/001/007 & echo \$! >$T/holder; sleep 0.3"
    finds warn camera 'Fine Camera at /dev/bus/usb/001/007 is held by gvfsd-gphoto2' \
        'systemctl --user mask --now gvfs-gphoto2-volume-monitor'
    # Another program is named as well.
    kill "$(cat holder)"
    cp "$(command -v sleep)" darktable
    staged "$camera; $T/darktable 60 7<>/dev/bus/usb/001/007 & echo \$! >$T/holder; sleep 0.3"
    finds warn camera 'is held by darktable' 'end that program'
    kill "$(cat holder)"
    ! grep -q -- '-> .*gvfs' out || fail 'gvfs is blamed'
    rmdir /dev/bus/usb /dev/bus 2>/dev/null || true
}

test_a_camera_that_this_user_may_not_use()
{
    need setpriv
    staged "$camera; set -- setpriv --reuid 65534 --regid 65534 --clear-groups \"\$@\""
    finds warn camera 'Fine Camera at .*: this user may not use it' 'adduser .* parfocal'
    rmdir /dev/bus/usb /dev/bus 2>/dev/null || true
}

test_low_watch_limits()
{
    [ -e /proc/sys/fs/inotify/max_user_watches ] || skip 'no inotify in this kernel'
    echo 100 >few
    mkdir -p in/{1..60}
    staged "mount --bind $T/few /proc/sys/fs/inotify/max_user_watches" --source "folder:$T/in"
    finds warn inotify 'low limits: 100 watches' 'sysctl -w fs.inotify.max_user_watches'
    finds warn source '61 folders, and this user may watch 100' 'fs.inotify.max_user_watches=1048576'
}

test_a_network_mount_under_polling()
{
    need bindfs
    [ "$(id -u)" -eq 0 ] && [ -e /dev/fuse ] || skip 'needs root and /dev/fuse'
    mkdir low mnt
    bindfs --no-allow-other low mnt 2>why || skip "bindfs: $(cat why)"
    expect_status 0 "$PARFOCAL" doctor --source "folder:$T/mnt"
    finds warn source 'mnt: readable .*polled every 2 s' 'poll_interval'
    expect_status 0 "$PARFOCAL" doctor --source "folder:$T/mnt" --poll never
    finds warn source 'inotify does not see' 'poll auto'
}

test_elastix_missing()
{
    mkdir bin
    PATH=$T/bin expect_status 1 "$PARFOCAL" doctor --align bspline
    finds FAIL elastix 'not installed, and --align bspline needs it' 'apt-get install .*elastix'
}

test_a_full_disk()
{
    staged "mkdir $T/small; mount -t tmpfs -o size=1m none $T/small" --outbox "$T/small/outbox"
    finds FAIL outbox 'small/outbox: [01] MiB free' "du -xhd1 '$T/small'"
    rmdir small
    staged "mkdir $T/small; mount -t tmpfs -o size=1m none $T/small
        head -c 2M /dev/zero >$T/small/all 2>/dev/null || true" --state "$T/small"
    finds FAIL state 'small: (cannot write|0 MiB free)' "du -xhd1 '$T/small'"
}

test_a_disk_that_is_read_only()
{
    staged "mkdir $T/fixed; mount -t tmpfs -o ro none $T/fixed" --outbox "$T/fixed/outbox"
    finds FAIL outbox 'Read-only file system' 'mount -o remount,rw'
}

test_wrong_permissions()
{
    need setpriv
    [ "$(id -u)" -eq 0 ] || skip 'needs root to become somebody else'
    # Where somebody else can go to: the tests' own directories are closed.
    local status=0 open
    open=$(mktemp -d /tmp/doctor-XXXXXX)
    at_end rm -rf "$open"
    chmod 755 "$open"
    mkdir -m 700 "$open/closed" "$open/in"
    setpriv --reuid 65534 --regid 65534 --clear-groups "$PARFOCAL" doctor --source "folder:$open/in" \
        --outbox "$open/closed" --state "$open/closed/state" >out 2>&1 || status=$?
    [ $status -eq 1 ] || skip "nobody cannot run it here: $(head -n 1 out)"
    finds FAIL outbox 'Permission denied' "chown -R 'nobody' '$open/closed'"
    finds FAIL source 'in: Permission denied' "setfacl -R -m u:nobody:rX '$open/in'"
}

test_a_clock_that_is_off()
{
    need faketime
    [ -z "$SAN" ] || skip 'faketime and sanitizers both want to be first'
    faketime '2001-01-01' "$PARFOCAL" doctor >out 2>&1 || true
    finds warn clock '2001-01-01 .* cannot be right' 'timedatectl set-ntp true'
}

test_an_old_libevent()
{
    mkdir bin
    # Where dpkg tells of the older one.
    cat >bin/dpkg-query <<'S'
#!/bin/sh
printf 2.1.12-stable-8
S
    chmod +x bin/dpkg-query
    command -v dpkg >/dev/null || skip 'no dpkg here'
    PATH=$T/bin:$PATH expect_status 0 "$PARFOCAL" doctor
    PATH=$T/bin:$PATH "$ROOT/packaging/warn-libevent.sh" 2>warned
    grep -q 'warning: libevent 2.1.12-stable-8 is older than 2.1.12-stable-8+deb12u1' warned || fail 'make does not warn'
    finds warn libevent '2.1.12-stable-8 is older than 2.1.12-stable-8\+deb12u1' 'apt-get install --only-upgrade libevent'
}

test_scratch_that_cannot_be_used()
{
    expect_status 0 "$PARFOCAL" doctor --outbox "$T/o" --state "$T/s" --scratch "$T/none"
    finds warn scratch 'none: is not there' "mkdir -p '$T/none'"
    staged "mkdir $T/small; mount -t tmpfs -o size=1m none $T/small" --scratch "$T/small"
    finds warn scratch 'small lies in memory itself' 'scratch /var/tmp'
    staged "mkdir -p $T/fixed; mount --bind $T/fixed $T/fixed; mount -o remount,bind,ro $T/fixed" --scratch "$T/fixed"
    finds warn scratch 'fixed: cannot write.*Read-only' "mount -o remount,rw '$T/fixed'"
    expect_status 0 "$PARFOCAL" doctor --outbox "$T/o" --state "$T/s" --scratch "$ROOT"
    grep -aqE '^(ok  |warn)  scratch .*free' out || fail "$(cat out)"
}

test_hooks_that_cannot_run()
{
    echo '#!/bin/sh' >hook
    expect_status 1 "$PARFOCAL" doctor --on-burst "'$T/hook' --quick" --on-failure "$T/gone" --on-stop 'no-such-program-here -x'
    finds FAIL on_burst 'hook cannot be run by this user' "chmod a\+rx '$T/hook'"
    finds FAIL on_failure 'gone is not there' "ls -l '$T/gone'"
    finds FAIL on_stop 'no-such-program-here is not there' 'apt-get install .no-such-program-here'
    chmod +x hook
    expect_status 0 "$PARFOCAL" doctor --on-burst "'$T/hook' --quick" --on-stop 'sh -c true'
    grep -aqE '^ok    on_burst .*hook can be run' out || fail "$(cat out)"
    grep -aqE '^ok    on_stop .*/sh can be run' out || fail "$(cat out)"
}

test_a_hook_whose_host_is_unknown()
{
    expect_status 0 "$PARFOCAL" doctor --on-failure 'https://user:secret@no-such-host.invalid/path?key=1' \
        --on-burst http://127.0.0.1:1/x --on-burst 'http://[::1]/'
    finds warn on_failure 'no-such-host.invalid' "getent hosts 'no-such-host.invalid'"
    ! grep -qaE 'secret|key=1' out || fail 'it tells what is secret'
    [ "$(grep -acE '^ok    on_burst .* is known' out)" -eq 2 ] || fail "$(cat out)"
}

test_a_broker_that_is_away_or_refuses()
{
    need mosquitto mosquitto_passwd
    expect_status 0 "$PARFOCAL" doctor --mqtt 127.0.0.1:1
    finds warn mqtt '127.0.0.1:1: Connection refused' 'systemctl start mosquitto'
    expect_status 0 "$PARFOCAL" doctor --mqtt no-such-host.invalid
    finds warn mqtt 'no-such-host.invalid:1883' "getent hosts 'no-such-host.invalid'"
    local port=
    mosquitto_passwd -b -c passwd lab right 2>/dev/null
    printf right >right && printf wrong >wrong && chmod 600 right wrong
    broker 'allow_anonymous false' "password_file $T/passwd"
    expect_status 0 "$PARFOCAL" doctor --mqtt "127.0.0.1:$port"
    finds warn mqtt "127.0.0.1:$port: .*not authorised" 'mosquitto_passwd .* .USER'
    expect_status 0 "$PARFOCAL" doctor --mqtt "127.0.0.1:$port" --mqtt-user lab --mqtt-password-file "$T/wrong"
    finds warn mqtt "127.0.0.1:$port: .*not authorised" "mosquitto_passwd .* 'lab'"
    expect_status 0 "$PARFOCAL" doctor --mqtt "127.0.0.1:$port" --mqtt-user lab --mqtt-password-file "$T/right"
    grep -aqE "^ok    mqtt .*127.0.0.1:$port lets us in" out || fail "$(cat out)"
    expect_status 1 "$PARFOCAL" doctor --mqtt "127.0.0.1:$port" --mqtt-user lab --mqtt-password-file "$T/none"
    finds FAIL mqtt 'none' "ls -l '$T/none'"
}
