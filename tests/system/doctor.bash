# A system staged for the doctor, and what it says of it: sourced after lib.sh.

# What mends is run, but nothing is installed: apt-get in $T/no-packages only records what it is asked for.
no_packages()
{
    mkdir -p no-packages
    printf '#!/bin/sh\necho "apt-get $*" >>%s/asked-for\n' "$T" >no-packages/apt-get
    chmod +x no-packages/apt-get
}

# staged SCRIPT [OPTIONS...]: the doctor in a namespace in which the script has run; its words are in out. With
# mend=CHECK, what it says mends that check is done there, and it looks again: out, the first time in before. With
# bare=yes only these options are given.
staged()
{
    local script=$1 status=0
    shift
    [ "$(id -u)" -eq 0 ] || skip 'needs root for a mount namespace'
    unshare -m bash -c 'mount --make-rprivate / && mount -t tmpfs none /mnt' 2>/dev/null || skip 'no mount namespace can be made'
    rm -f staged
    no_packages
    [ -n "${bare-}" ] || set -- --outbox "$T/outbox" --state "$T/state" "$@"
    set -- "$PARFOCAL" doctor "$@"
    unshare -m bash -eu -c "mount --make-rprivate /; $script"'
        : >"$0/staged"
        if [ -n "${mend-}" ]; then
            "$@" >"$0/before" || [ $? -eq 1 ]
            remedy=$(grep -aEA1 "^(FAIL|warn)  *$mend " "$0/before" | sed -n "s/^ *-> //p" | head -n 1)
            PATH=$0/no-packages:$PATH
            eval "$remedy" >"$0/mended" 2>&1 || { cat "$0/mended" >&2; exit 99; }
        fi
        exec "$@"' "$T" "$@" >out 2>err </dev/null || status=$?
    [ -e staged ] || skip "cannot be staged here: $(tail -n 1 err)"
    [ $status -ne 99 ] || fail "what mends $mend does not: $(cat err; grep -aA1 "$mend" before)"
    # Whatever it finds: neither a crash nor words that it does not understand.
    [ $status -le 1 ] && [ -s out ] || { cat out err; fail "status $status of the doctor: $(tail -n 1 err)"; }
}

# finds FINDING CHECK TEXT COMMAND: the line of the check, and what mends it in the next one
finds()
{
    grep -aEA1 "^$1  *$2 .*$3" out | grep -aqE -- "-> .*$4" || { cat out; fail "no word of $2: $3, $4"; }
}

# What mends the check.
remedy_of()
{
    grep -aEA1 "^(FAIL|warn)  *$1 " out | sed -n 's/^ *-> //p' | head -n 1
}

# mend CHECK: what is said mends it
mend()
{
    local remedy
    no_packages
    remedy=$(remedy_of "$1")
    [ -n "$remedy" ] || fail "no remedy of $1: $(cat out)"
    (
        PATH=$T/no-packages:$PATH
        eval "$remedy"
    ) || fail "what mends $1 does not: $remedy"
}

# Its directory of devices is one of its own, or that would stay on a machine that has no USB.
camera='mount -t tmpfs none /sys/bus; mkdir -p /sys/bus/usb/devices/1-2 /sys/bus/usb/devices/1-2:1.0
    echo 1 >/sys/bus/usb/devices/1-2/busnum; echo 7 >/sys/bus/usb/devices/1-2/devnum
    echo "Fine Camera" >/sys/bus/usb/devices/1-2/product
    echo 06 >/sys/bus/usb/devices/1-2:1.0/bInterfaceClass; echo 01 >/sys/bus/usb/devices/1-2:1.0/bInterfaceSubClass
    mount -t tmpfs none /mnt; mkdir -p /mnt/shm /mnt/bus/usb/001; touch /mnt/bus/usb/001/007; chmod 600 /mnt/bus/usb/001/007
    for node in null zero random urandom; do touch /mnt/$node; mount --bind /dev/$node /mnt/$node; done
    mount --rbind /mnt /dev'

# Until what a script has begun last is that program, and has the camera open; its number is in the file $T/NAME.
holds() # PROGRAM [NAME]
{
    echo "echo \$! >>'$T/${2:-holder}'; until [ /proc/\$!/exe -ef '$1' ]; do sleep 0.05; done"
}

end_holders()
{
    cat "$T"/{holder,ours} 2>/dev/null | xargs -r kill
    rm -f "$T"/{holder,ours}
}
