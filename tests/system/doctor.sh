#!/bin/bash
# What `parfocal doctor` must find, each with the command that mends it. The system's state is staged in a
# mount namespace of its own: what the doctor reads of /proc, /sys and /dev is put over there.
# time limit: 480
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/broker.bash"
. "${BASH_SOURCE%/*}/doctor.bash"
. "${BASH_SOURCE%/*}/nvidia.bash"

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

# A build with kernels: for a GPU of fibers, which say that they are of CUDA 13.
with_kernels()
{
    PARFOCAL=$BUILD/tests/parfocal-on-fibers
    [ -x "$PARFOCAL" ] || skip "fibers and $SAN do not go together"
}

test_no_gpu()
{
    no_gpu_here
    staged 'mount -t tmpfs none /sys/bus/pci/devices'
    grep -q '^ok    gpu .*no NVIDIA GPU' out || fail "$(cat out)"
    staged 'mount -t tmpfs none /sys/bus/pci/devices' --device cuda
    finds FAIL gpu 'device = cuda, but' '--device=auto'
}

# No driver helps a build that has nothing to run on it.
test_a_card_and_a_build_without_kernels()
{
    no_gpu_here
    "$PARFOCAL" doctor --device cuda | grep -q 'this build has no CUDA code' || skip 'this build has CUDA code'
    staged "$card"
    finds warn gpu 'an NVIDIA GPU, but this build has no CUDA code' 'make CUDA=1 deb'
    staged "$(driver 535.183.01)" --device cuda
    finds FAIL gpu 'an NVIDIA GPU, but this build has no CUDA code' 'make CUDA=1 deb'
    ! grep -q -- '-> .*driver' out || fail "$(cat out)"
}

test_a_card_without_a_driver()
{
    no_gpu_here
    with_kernels
    staged "$card"
    finds warn gpu 'an NVIDIA card, but no driver' 'apt-get install -y cuda-drivers'
    staged "$card" --device cuda
    finds FAIL gpu 'an NVIDIA card, but no driver' 'apt-get install -y cuda-drivers'
}

# The archives that have it are none that Debian comes with.
test_what_gets_a_driver_is_had()
{
    no_gpu_here
    with_kernels
    local program
    staged "$card"
    remedy_of gpu >get
    for program in wget dpkg reboot; do
        printf '#!/bin/sh\n[ "$1" != --print-architecture ] || exec echo amd64\necho "%s $*" >>%s/asked-for\n' \
            $program "$T" >no-packages/$program
        chmod +x no-packages/$program
    done
    get_driver() # CODENAME
    {
        echo "VERSION_CODENAME=$1" >os-release
        rm -f asked-for list
        unshare -m bash -c "mount --make-rprivate / && mount --bind $T/os-release /etc/os-release &&
            mount -t tmpfs none /etc/apt/sources.list.d && PATH=$T/no-packages:\$PATH || exit
            [ \$(command -v reboot) = $T/no-packages/reboot ] || exit
            . $T/get; cp /etc/apt/sources.list.d/* $T/list"
    }
    get_driver bookworm
    grep -qx 'deb http://deb.debian.org/debian bookworm contrib non-free non-free-firmware' list || fail "$(cat list)"
    printf '%s\n' 'apt-get update' 'apt-get install -y wget linux-image-amd64 linux-headers-amd64' \
        'wget -P /var/cache/apt/archives https://developer.download.nvidia.com/compute/cuda/repos/debian12/x86_64/cuda-keyring_1.1-1_all.deb' \
        'dpkg -i /var/cache/apt/archives/cuda-keyring_1.1-1_all.deb' 'apt-get update' 'apt-get install -y cuda-drivers' \
        'reboot ' | diff - asked-for || fail 'something else is done'
    # Another system gets nothing of Debian's.
    ! get_driver jammy 2>err || fail 'it is well'
    [ ! -e list ] && [ ! -e asked-for ] || fail "$(cat list asked-for)"
}

test_a_driver_that_is_too_old()
{
    no_gpu_here
    with_kernels
    # What is too old depends on the toolkit that has built the kernels.
    staged "$(driver 535.183.01)"
    finds warn gpu 'driver 535.183.01 is too old, 580.65.06 or later' 'apt-get install -y cuda-drivers'
    staged "$(driver 580.57.08)"
    finds warn gpu 'driver 580.57.08 is too old, 580.65.06 or later' 'apt-get install -y cuda-drivers'
}

# Root's doctor would not see that nvidia-uvm is missing: CUDA loads what is missing for root.
test_a_driver_without_its_devices()
{
    local house
    no_gpu_here
    with_kernels
    no_packages
    nvidia_modprobe no-packages/nvidia-modprobe /dev
    two_cards gpus
    house="$(driver 580.95.05); cp -r gpus /proc/driver/nvidia; mkdir -p dev; mount -t tmpfs none dev
        for node in null zero random urandom; do touch dev/\$node; mount --bind /dev/\$node dev/\$node; done"
    staged "$house; touch dev/nvidia0 dev/nvidiactl; mount --rbind dev /dev"
    finds warn gpu 'driver 580.95.05 without .*nvidia-uvm' 'nvidia-modprobe -u -c 0$'
    staged "$house; touch dev/nvidia0; mount --rbind dev /dev"
    finds warn gpu 'driver 580.95.05 without device nodes' 'nvidia-modprobe -c 255 '
    mend=gpu staged "$house; mount --rbind dev /dev"
    grep -q ' gpu .*without device nodes' before && ! grep ' gpu .*without' out || fail "$(cat before out)"
    # All cards have theirs.
    cp before out
    remedy_of gpu >make
    staged "$house; mount --rbind dev /dev; PATH=$T/no-packages:\$PATH; . ./make; ls /dev >made"
    printf '%s\n' nvidia-uvm nvidia0 nvidia1 nvidiactl | diff - <(grep nvidia made) || fail 'others are made'
}

test_a_camera_held_by_gvfs()
{
    need sleep
    at_end end_holders
    cp "$(command -v sleep)" gvfsd-gphoto2
    staged "$camera; $T/gvfsd-gphoto2 60 7<>/dev/bus/usb/001/007 & $(holds "$T/gvfsd-gphoto2")"
    finds warn camera 'Fine Camera at /dev/bus/usb/001/007 is held by gvfsd-gphoto2' \
        'systemctl --user mask --now gvfs-gphoto2-volume-monitor'
    # Another program is named as well.
    end_holders
    cp "$(command -v sleep)" darktable
    staged "$camera; $T/darktable 60 7<>/dev/bus/usb/001/007 & $(holds "$T/darktable")"
    finds warn camera 'is held by darktable' "kill $(cat holder)"
    end_holders
    ! grep -q -- '-> .*gvfs' out || fail 'gvfs is blamed'
    # What it calls itself is no process's number.
    staged "$camera; (exec -a 'x(process 1)' sleep 60 7<>/dev/bus/usb/001/007) & $(holds "$(command -v sleep)")"
    finds warn camera 'is held by x.process 1. ' "kill $(cat holder)$"
}

# Its only interface is one that nobody has a standard for, and udev has it from libgphoto2's rules that it is a camera.
test_a_camera_that_udev_alone_knows_is_held_by_gvfs()
{
    local own device=/sys/bus/usb/devices/1-2
    need sleep
    at_end end_holders
    cp "$(command -v sleep)" gvfsd-gphoto2
    own="$camera; export SYSTEMD_DEVICE_VERIFY_SYSFS=0; ln -s /sys/bus/usb $device/subsystem
        printf '%s\\n' MAJOR=189 MINOR=6 DEVNAME=bus/usb/001/007 DEVTYPE=usb_device >$device/uevent
        echo ff >$device:1.0/bInterfaceClass; echo ff >$device:1.0/bInterfaceSubClass
        mount -t tmpfs none /run; mkdir -p /run/udev/data
        $T/gvfsd-gphoto2 60 7<>/dev/bus/usb/001/007 & $(holds "$T/gvfsd-gphoto2")"
    staged "$own; echo E:ID_GPHOTO2=1 >/run/udev/data/c189:6"
    finds warn camera 'Fine Camera at /dev/bus/usb/001/007 is held by gvfsd-gphoto2' \
        'systemctl --user mask --now gvfs-gphoto2-volume-monitor'
    end_holders
    # Anything else is left to who has it.
    staged "$own; echo E:ID_MODEL=stick >/run/udev/data/c189:6"
    ! grep 'is held by' out || fail "$(cat out)"
}

# As the service's capture process does.
test_a_camera_that_parfocal_itself_uses()
{
    need sleep mkfifo
    mkfifo never
    at_end end_holders
    local ours="'$PARFOCAL' config check -c '$T/never' 7<>/dev/bus/usb/001/007 & $(holds "$PARFOCAL" ours)"
    staged "$camera; $ours"
    grep -Eq "^ok    camera .*001/007 is in use by parfocal .process $(cat ours)." out || fail "$(cat out)"
    ! grep -q -- '-> .*kill' out || fail 'it is to be ended'
    # Another program beside it is named.
    end_holders
    staged "$camera; $ours; sleep 60 7<>/dev/bus/usb/001/007 & $(holds "$(command -v sleep)"); $ours"
    finds warn camera 'is held by sleep' "kill $(cat holder)$"
}

test_a_camera_that_this_user_may_not_use()
{
    need setpriv
    staged "$camera; set -- setpriv --reuid 65534 --regid 65534 --clear-groups \"\$@\""
    local again='udevadm trigger --subsystem-match=usb --action=change'
    finds warn camera 'Fine Camera at .*: nobody may not use it' \
        "adduser nobody plugdev && udevadm control --reload && $again # and log in again"
    # As the package does when it is installed.
    grep -qF "$again" "$ROOT/packaging/debian/parfocal.postinst" || fail 'the package does otherwise'
}

test_low_watch_limits()
{
    local limits=/proc/sys/fs/inotify
    [ -e $limits/max_user_watches ] || skip 'no inotify in this kernel'
    echo 100 >watches
    echo 10 >instances
    mkdir -p in/{1..60}
    local few="for name in watches instances; do mount --bind $T/\$name $limits/max_user_\$name; done"
    staged "$few" --source "folder:$T/in"
    finds warn inotify 'low limits: 100 watches, 10 instances' '/etc/sysctl.d/60-parfocal.conf && sysctl --system'
    finds warn source '61 folders, and this user may watch 100' 'fs.inotify.max_user_watches=1048576'
    # They last: what is said is written where the system reads it at its start, and neither undoes the other.
    cat >no-packages/sysctl <<'S'
#!/bin/bash
[ "$*" = --system ] || exit 1
cat /etc/sysctl.d/*.conf | while IFS== read -r name value; do
    echo "$value" >"/proc/sys/${name//./\/}"
done
S
    chmod +x no-packages/sysctl
    remedy_of inotify >mend-inotify
    remedy_of source >mend-source
    staged "$few; mount -t tmpfs none /etc/sysctl.d; PATH=$T/no-packages:\$PATH; . $T/mend-source; . $T/mend-inotify" \
        --source "folder:$T/in"
    grep -Eq '^ok    inotify .*1048576 watches, 128 instances' out || fail "$(cat out)"
    grep -Eq '^ok    source ' out || fail "$(cat out)"
}

# A line is added to a configuration as one of its own, whatever the last one ends with.
test_a_configuration_has_a_line_added()
{
    local end
    for end in '' 'threads = 1' 'threads = 1\n' '# mine' '\n'; do
        printf "$end" >mine.conf
        cp mine.conf before.conf
        staged : -c "$T/mine.conf" --sandbox=no
        mend sandbox
        "$PARFOCAL" config check -c mine.conf --source folder:in >checked 2>&1 || fail "after '$end': $(cat checked mine.conf)"
        grep -qx 'sandbox = yes' mine.conf || fail "after '$end': $(cat mine.conf)"
        grep -v '^$' before.conf | diff - <(grep -vx -e 'sandbox = yes' -e '' mine.conf) || fail "after '$end' something else is changed"
    done
}

# One that is there is changed, however it is written: a second one of a key is none that is read.
test_a_configuration_has_a_line_changed()
{
    local line locale
    for line in 'sandbox = no' 'sandbox=no' 'sandbox: no' 'sandbox : "no"' ' \t sandbox = no' '\fsandbox=no' \
        '\357\273\277sandbox: no' '\357\273\277  sandbox = no' '; sandbox = no\n[service]\nsandbox: no' \
        'threads = 1\r\nsandbox: no\r'; do
        for locale in C C.UTF-8; do
            [ $locale = C ] || [[ $line == *357* ]] || continue
            printf "$line\non_stop = echo sandbox: no\n" >mine.conf
            cp mine.conf before.conf
            LC_ALL=$locale staged : -c "$T/mine.conf"
            LC_ALL=$locale mend sandbox
            "$PARFOCAL" config check -c mine.conf --source folder:in >checked 2>&1 || fail "of '$line': $(cat checked mine.conf)"
            [ "$("$PARFOCAL" config show -c mine.conf | grep -c '^#\?sandbox = yes$')" = 1 ] || fail "of '$line': $(cat mine.conf)"
            [ "$(wc -l <mine.conf)" -eq "$(wc -l <before.conf)" ] || fail "of '$line': $(cat mine.conf)"
        done
    done
    # What only looks like it is left alone.
    printf '%s\n' '# sandbox = no' ';sandbox: no' 'on_stop = sandbox = no' >mine.conf
    cp mine.conf before.conf
    staged : -c "$T/mine.conf" --sandbox=no
    mend sandbox
    "$PARFOCAL" config check -c mine.conf --source folder:in >checked 2>&1 || fail "$(cat checked mine.conf)"
    diff before.conf <(grep -vx -e 'sandbox = yes' -e '' mine.conf) || fail 'a comment is changed'
}

test_a_network_mount_under_polling()
{
    need bindfs
    [ "$(id -u)" -eq 0 ] && [ -e /dev/fuse ] || skip 'needs root and /dev/fuse'
    mkdir low mnt
    bindfs --no-allow-other low mnt 2>why || skip "bindfs: $(cat why)"
    expect_status 0 "$PARFOCAL" doctor --source "folder:$T/mnt"
    finds warn source 'mnt: readable .*polled every 2 s' '--poll-interval=0.5'
    expect_status 0 "$PARFOCAL" doctor --source "folder:$T/mnt" --poll never
    finds warn source 'inotify does not see' '--poll=auto'
    # A configuration has its line changed, or gets one.
    printf '%s\n' '# mine' "source = folder:$T/mnt" 'poll-interval = 3' "outbox = $T/o" "state = $T/s" >"it's.conf"
    expect_status 0 "$PARFOCAL" doctor -c "it's.conf"
    finds warn source 'mnt: readable .*polled every 3 s' "sed -i .*/it'\\\\''s.conf'"
    mend source
    grep -qx 'poll_interval = 0.5' "it's.conf" || fail "$(cat "it's.conf")"
    sed -i '/^poll/d' "it's.conf"
    expect_status 0 "$PARFOCAL" doctor "--config=it's.conf"
    mend source
    expect_status 0 "$PARFOCAL" doctor -c"it's.conf"
    grep -q '^ok    source .*polled every 0.5 s' out || fail "$(cat out)"
    [ "$(grep -c . "it's.conf")" -eq 5 ] || fail "$(cat "it's.conf")"
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
    finds FAIL outbox 'small/outbox: [01] MiB free' "du -xhd1 '$T/small' .*results that have been fetched may go"
    rmdir small
    staged "mkdir $T/small; mount -t tmpfs -o size=1m none $T/small
        head -c 2M /dev/zero >$T/small/all 2>/dev/null || true" --state "$T/small"
    finds FAIL state 'small: (cannot write|0 MiB free)' '--views=32 --thumbnails=32 # MiB of previews and thumbnails$'
    # What is off is not turned on.
    staged "mount -t tmpfs -o size=1m none $T/small" --state "$T/small" --thumbnails 0 --views 256
    finds FAIL state 'small: [01] MiB free' '--views=32 # MiB of previews$'
    staged "mount -t tmpfs -o size=1m none $T/small" --state "$T/small" --thumbnails 256 --views 32
    finds FAIL state 'small: [01] MiB free' '--thumbnails=32 # MiB of thumbnails$'
    # Where they have a bound already, something else fills it.
    staged "mount -t tmpfs -o size=1m none $T/small" --state "$T/small" --views 32 --thumbnails 32
    finds FAIL state 'small: [01] MiB free' "du -xhd1 '$T/small'"
}

test_a_disk_that_is_read_only()
{
    mkdir fixed
    local odd=$T/"it's \"fixed\""
    mkdir "$odd"
    staged "mount -t tmpfs -o ro none $T/fixed" --outbox "$T/fixed/outbox"
    finds FAIL outbox 'Read-only file system' "mount -o remount,rw '$T/fixed' "
    # Not the directory, but what is mounted there is to be mounted otherwise; quotes are nobody's.
    mend=outbox staged "mount -t tmpfs none \"\$(printf '%b' '$T/it\\x27s \\x22fixed\\x22')\"
        cd \"\$(printf '%b' '$T/it\\x27s \\x22fixed\\x22')\"; mkdir -p a/b; mount -o remount,ro . ; cd /" --outbox "$odd/a/b/c"
    grep -q '^ok    outbox ' out || fail "$(cat before out)"
}

# as_somebody OPTIONS...: the doctor as a user without any rights, from the directory $at
as_somebody()
{
    local status=0
    setpriv --reuid 65534 --regid 65534 --clear-groups env -C "${at:-/}" "$PARFOCAL" doctor "$@" >out 2>&1 </dev/null || status=$?
    [ $status -ne 126 ] && [ $status -ne 127 ] || skip "nobody cannot run it here: $(head -n 1 out)"
    [ $status -le 1 ] || fail "status $status: $(cat out)"
}

open_to_somebody()
{
    need setpriv
    [ "$(id -u)" -eq 0 ] || skip 'needs root to become somebody else'
    # Where somebody else can go to: the tests' own directories are closed.
    open=$(mktemp -d /tmp/doctor-XXXXXX)
    at_end rm -rf "$open"
    chmod 755 "$open"
}

test_wrong_permissions()
{
    local open check
    open_to_somebody
    mkdir -m 700 "$open/closed" "$open/in" "$open/out"
    mkdir -m 755 "$open/above"
    as_somebody --source "folder:$open/in" --outbox "$open/out" --state "$open/above/state"
    finds FAIL outbox 'Permission denied' "setfacl -m u:nobody:rwx,d:u:nobody:rwx '$open/out'"
    finds FAIL source 'in: Permission denied' "setfacl -R -m u:nobody:rX,d:u:nobody:rX '$open/in'"
    finds FAIL state 'Permission denied' "install -d -o nobody -g nogroup '$open/above/state'"
    ! grep -q -- '-> .*chown' out || fail 'it gives a directory away'
    # A directory far above is nobody's to be had.
    as_somebody --outbox /parfocal-stacks/out --state "$open/closed/deep/state" --source "folder:$open/closed/in"
    finds FAIL outbox 'cannot write in /: Permission denied' "install -d -o nobody -g nogroup '/parfocal-stacks/out'"
    finds FAIL state 'Permission denied' "setfacl -m u:nobody:x '$open/closed'"
    finds FAIL source 'Permission denied' "setfacl -m u:nobody:x '$open/closed'"
    at=$open/above as_somebody --outbox .stacks/out
    finds FAIL outbox 'Permission denied' "install -d -o nobody -g nogroup '$open/above/.stacks/out'"
    # One's own is mended without anybody's help.
    mkdir -m 500 "$open/own"
    mkdir -m 300 "$open/ownin"
    chown 65534 "$open/own" "$open/ownin"
    as_somebody --outbox "$open/own" --source "folder:$open/ownin" --state "$open/own/s"
    finds FAIL outbox 'Permission denied' "chmod u.rwx '$open/own'"
    finds FAIL source 'Permission denied' "chmod u.rx '$open/ownin'"
}

# What is opened is named as what it is: a link there may be of the service's own user.
test_links_are_opened_by_no_other_name()
{
    local open
    open_to_somebody
    mkdir -m 755 "$open/above"
    mkdir -m 700 "$open/closed" "$open/closed/deep"
    ln -s closed "$open/out"
    ln -s above "$open/link"
    ln -s closed/deep "$open/in"
    as_somebody --source "folder:$open/in" --outbox "$open/out" --state "$open/link/new/state"
    finds FAIL outbox 'out: Permission denied' "setfacl -m u:nobody:rwx,d:u:nobody:rwx '$open/closed'$"
    finds FAIL state 'Permission denied' "install -d -o nobody -g nogroup '$open/above/new/state'$"
    finds FAIL source 'in: Permission denied' "namei -l '$open/in'$"
}

# What is said is done, and then it is well; frames and results that come later are reached too.
test_what_is_said_of_permissions_mends_them()
{
    local open check
    open_to_somebody
    need setfacl
    local odd="$open/it's *here"
    mkdir -m 700 "$odd" "$odd/in" "$odd/out"
    set -- --source "folder:$odd/in" --outbox "$odd/out" --state "$odd/new/state"
    as_somebody "$@"
    mend source # the directory above
    grep -qx 'apt-get install -y acl' asked-for || fail 'what sets it is not had'
    for check in source outbox state; do
        as_somebody "$@"
        mend $check
    done
    as_somebody "$@"
    ! grep -E '^(FAIL|warn) .*(source|outbox|state) ' out || fail "$(cat out)"
    mkdir "$odd/in/later"
    echo a >"$odd/in/later/frame"
    setpriv --reuid 65534 --regid 65534 --clear-groups cat "$odd/in/later/frame" >/dev/null || fail 'what came later is closed'
    [ "$(stat -c %U "$odd" "$odd/in" "$odd/out" | sort -u)" = root ] || fail 'it has another owner'
    [ "$(stat -c %U "$odd/new" "$odd/new/state" | paste -sd ' ')" = 'root nobody' ] || fail 'not its directory alone'
}

test_a_state_that_somebody_else_has_begun()
{
    local open
    open_to_somebody
    mkdir -m 777 "$open/state" "$open/outbox"
    touch "$open/state/lock" "$open/state/journal.sqlite" "$open/state/not-ours"
    chmod 600 "$open"/state/*
    as_somebody --outbox "$open/outbox" --state "$open/state"
    finds FAIL state 'lock belongs to somebody else' \
        "chown -h nobody:nogroup '$open/state/lock' '$open/state/journal.sqlite'$"
    mend state
    as_somebody --outbox "$open/outbox" --state "$open/state"
    ! grep -q '^FAIL  state' out || fail "$(cat out)"
    [ "$(stat -c %U "$open/state/not-ours")" = root ] || fail 'it takes more than its own'
}

# Its user may put links there, to what is not to be his.
test_links_in_a_state_are_given_to_nobody()
{
    local open
    open_to_somebody
    mkdir -m 777 "$open/state" "$open/outbox"
    for name in one two three; do
        echo secret >"$open/$name"
        chmod 600 "$open/$name"
    done
    mkdir -m 700 "$open/closed"
    touch "$open/state/journal.sqlite"
    chmod 600 "$open/state/journal.sqlite"
    ln -s "$open/one" "$open/state/lock"
    ln -s "$open/closed" "$open/state/views"
    ln "$open/two" "$open/state/journal.sqlite-wal"
    ln -s state "$open/mine"
    as_somebody --outbox "$open/outbox" --state "$open/mine"
    finds FAIL state 'lock belongs to somebody else' "chown -h nobody:nogroup '$open/state/journal.sqlite'$"
    # Nor what has become one since.
    ln -sf "$open/three" "$open/state/journal.sqlite"
    mend state
    [ "$(stat -c %U "$open/one" "$open/two" "$open/three" "$open/closed" | sort -u)" = root ] || fail 'it is given away'
    as_somebody --outbox "$open/outbox" --state "$open/state"
    finds FAIL state 'lock cannot be written: Permission denied' "ls -ld '$open/state/lock'$"
}

test_a_clock_that_is_off()
{
    need faketime
    [ -z "$SAN" ] || skip 'faketime and sanitizers both want to be first'
    faketime '2001-01-01' "$PARFOCAL" doctor >out 2>&1 || true
    finds warn clock "2001-01-01 .* cannot be right: this program is of 20" 'systemd-timesyncd|systemctl enable --now|timedatectl|chronyc|ntpq|ntpctl'
    # By a few days as well.
    local day
    day=$(date -d "$(sed -n 's/.*this program is of \([-0-9]*\);.*/\1/p' out) 3 days ago" +%F)
    faketime "$day" "$PARFOCAL" doctor >out 2>&1 || true
    finds warn clock "$day .* cannot be right: this program is of 20" 'systemd-timesyncd|systemctl enable --now|timedatectl|chronyc|ntpq|ntpctl'
}

# Behind what was there before: a board without a battery, which goes on from when it was switched off.
test_a_clock_that_is_behind_the_journal()
{
    mkdir state
    touch -d '3 hours' state/journal.sqlite
    expect_status 0 "$PARFOCAL" doctor --state "$T/state"
    finds warn clock ' cannot be right: parfocal has written its journal at 20' 'systemd-timesyncd|systemctl enable --now|timedatectl|chronyc|ntpq|ntpctl'
    touch -d '3 hours ago' state/journal.sqlite
    expect_status 0 "$PARFOCAL" doctor --state "$T/state"
    ! grep -a '^warn  clock .*cannot be right' out || fail 'it is taken for wrong'
}

test_a_clock_that_nothing_keeps()
{
    need sleep
    local booted='mount -t tmpfs none /run; mkdir -p /run/systemd/system
        mount -t tmpfs none /lib/systemd/system; mount -t tmpfs none /sys/class' unit
    staged "$booted"
    ! grep -q '^ok    clock .*kept right by the network' out || skip 'this clock is kept'
    ! grep -q '^warn  clock .*has not set it' out || skip 'something is at it here'
    finds warn clock 'nothing in this system keeps it right, and no other clock ran' \
        'apt-get install -y --no-remove systemd-timesyncd && timedatectl set-ntp true'
    # One that is there is started, for another one would take its place.
    for unit in systemd-timesyncd chrony openntpd ntpsec; do
        staged "$booted; touch /lib/systemd/system/$unit.service"
        finds warn clock 'nothing in this system keeps it right' "systemctl enable --now $unit$"
    done
    # A battery keeps one without a network, be it in the time of the place; an empty one does not.
    local own='mkdir -p /sys/class/rtc/rtc0; echo $(($(date +%s) - 7200)) >/sys/class/rtc/rtc0/since_epoch'
    staged "$booted; $own"
    grep -q '^ok    clock .*by the machine.s own clock' out || fail "$(cat out)"
    staged "$booted; $own; echo 0 >/sys/class/rtc/rtc0/since_epoch"
    finds warn clock 'nothing in this system keeps it right, and no other clock ran' 'systemd-timesyncd'
    cp "$(command -v sleep)" chronyd
    start keeper ./chronyd 60
    wait_for 10 grep -qx chronyd "/proc/$started/comm"
    staged "$booted; $own"
    grep -q '^ok    clock .*own clock; chronyd has not set it' out || fail "$(cat out)"
    staged "$booted"
    stop keeper
    finds warn clock 'chronyd runs, and has not set it' 'chronyc tracking'
    # There are two of this name.
    cp chronyd ntpd
    start keeper ./ntpd 60
    wait_for 10 grep -qx ntpd "/proc/$started/comm"
    for unit in ntpsec openntpd; do
        staged "$booted; touch /lib/systemd/system/$unit.service"
        finds warn clock 'ntpd runs, and has not set it' "$([ $unit = ntpsec ] && echo 'ntpq -p' || echo 'ntpctl -s all')$"
    done
    stop keeper
    # What timesyncd leaves once it has set it.
    staged "$booted; mkdir /run/systemd/timesync; touch /run/systemd/timesync/synchronized"
    grep -q '^ok    clock .*kept right by the network' out || fail "$(cat out)"
    # In a container it is not this system's to keep.
    staged "$booted; touch /run/systemd/container"
    grep -q '^ok    clock .*in a container that is for the machine around it' out || fail "$(cat out)"
}

test_an_old_libevent()
{
    local versions old least
    mkdir bin
    command -v dpkg >/dev/null || skip 'no dpkg here'
    # Where dpkg tells of that version: Debian's, and Ubuntu's, which has another one with these fixes.
    cat >bin/dpkg-query <<'S'
#!/bin/sh
printf %s "$VERSION"
S
    chmod +x bin/dpkg-query
    for versions in '2.1.12-stable-8 2.1.12-stable-8+deb12u1' '2.1.12-stable-1build3 2.1.12-stable-1ubuntu0.2' \
        '2.1.12-stable-1ubuntu0.1 2.1.12-stable-1ubuntu0.2'; do
        read -r old least <<<"$versions"
        VERSION=$old PATH=$T/bin:$PATH expect_status 0 "$PARFOCAL" doctor
        finds warn libevent "$old is older than ${least/+/.}" 'apt-get install --only-upgrade libevent.*libevent-extra-2.1-7'
        VERSION=$old PATH=$T/bin:$PATH "$ROOT/packaging/warn-libevent.sh" 2>warned
        grep -q "warning: libevent $old is older than $least" warned || fail 'make does not warn'
        # What the package asks for where it is built.
        [ "$(VERSION=$old PATH=$T/bin:$PATH "$ROOT/packaging/warn-libevent.sh" --least)" = "$least" ] || fail 'another one is asked for'
        VERSION=$least PATH=$T/bin:$PATH expect_status 0 "$PARFOCAL" doctor
        grep -q "^ok    libevent .*$least" out || fail "$(cat out)"
        VERSION=$least PATH=$T/bin:$PATH "$ROOT/packaging/warn-libevent.sh" 2>warned
        [ ! -s warned ] || fail "$(cat warned)"
    done
}

test_scratch_that_cannot_be_used()
{
    expect_status 0 "$PARFOCAL" doctor --outbox "$T/o" --state "$T/s" --scratch "$T/none"
    finds warn scratch 'none: is not there' "install -d -o root -g root '$T/none'"
    staged "mkdir $T/small; mount -t tmpfs -o size=1m none $T/small" --scratch "$T/small"
    finds warn scratch 'small lies in memory itself' '--scratch=/var/tmp'
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
