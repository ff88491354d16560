# For test-package.sh and test-unit.sh: sourced, with `set -eu`, as root, with their operands DEB_DIR GENERATE.
# $deb is the package.
#
#   clean_system            makes a clean Debian 12 in $root, which goes away at exit; /proc and /dev are there
#   inside COMMAND...       runs it in there
#   say WHAT                what was checked
#   wait_for SECONDS COMMAND...
#   not COMMAND...          it must fail
#   install_needed DEB      what the package depends on
#   make_burst NAME FRAMES HOUR   generated frames in $root/tmp/NAME
#   put FILE...             into the service's inbox, as its user
#   stacks_are NUMBER       so many are out
#
# The debootstrapped system is kept as a tar archive in build/package for the next time.
debs=$(realpath "$1") generate=$(realpath "$2")
cd "${BASH_SOURCE%/*}/.."
deb=$(ls "$debs"/parfocal_*.deb)
keep=$PWD/build/package
base=$keep/bookworm.tar
[ "$(id -u)" -eq 0 ] || { echo 'make test-package needs root' >&2; exit 1; }
root=$(mktemp -d /var/tmp/parfocal-package-XXXXXX)
# Processes that end with the test.
ours=()
at=0
finish()
{
    local status=$?
    [ ${#ours[@]} -eq 0 ] || kill -KILL "${ours[@]}" 2>/dev/null || true
    umount -l "$root"/{proc,dev/shm,dev} 2>/dev/null || true
    [ $status -eq 0 ] || [ $status -eq 77 ] || { tail -n 40 "$root/log" 2>/dev/null; echo "FAIL the package: line $at"; }
    rm -rf --one-file-system "$root" "$root.boot"
    exit $status
}
trap 'at=$LINENO' ERR
trap finish EXIT
trap 'exit 130' INT TERM
set -E

# `! command` alone never ends a script.
not() { if "$@"; then return 1; fi; }
say() { printf 'ok %s\n' "$*"; }
inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
wait_for()
{
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -le $end ] || { echo "not in time: $*" >&2; return 1; }
        sleep 0.2
    done
}

clean_system()
{
    mkdir -p "$keep"
    if [ ! -e "$base" ]; then
        echo 'making a clean Debian 12 (some minutes, once)'
        debootstrap --variant=minbase --include=systemd-sysv,systemd,dbus,udev bookworm "$root/new" >"$root/log" 2>&1
        tar -C "$root/new" --one-file-system -cf "$base.part" .
        mv "$base.part" "$base"
        rm -rf "$root/new"
    fi
    tar -C "$root" -xf "$base"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --make-rslave "$root/dev"
    cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
    printf 'deb http://deb.debian.org/debian%s main\n' ' bookworm' '-security bookworm-security' \
        >"$root/etc/apt/sources.list"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod +x "$root/usr/sbin/policy-rc.d"
    for file in /etc/apt/apt.conf.d/*proxy*; do [ ! -e "$file" ] || cp "$file" "$root/etc/apt/apt.conf.d/"; done
    inside apt-get -q update >"$root/log" 2>&1
}

install_needed()
{
    inside apt-get -qy install --no-install-recommends $(dpkg-deb -f "$1" Depends | tr ',' '\n' |
        sed 's/([^)]*)//; s/|.*//' | tr -d ' ') >"$root/log" 2>&1
}

make_burst()
{
    "$generate" --out "$root/tmp/$1" --no-truth --scene textured --width 640 --height 480 --frames "$2" \
        --interval 0.2 --start "2026-01-02T0$3:00:00" --name "$1-%02d" >/dev/null
}
put()
{
    local file
    for file; do
        install -o "$(inside id -u parfocal)" -g "$(inside id -g parfocal)" -m 640 "$file" \
            "$root/var/lib/parfocal/inbox/.part"
        mv "$root/var/lib/parfocal/inbox/.part" "$root/var/lib/parfocal/inbox/${file##*/}"
    done
}
stacks_are() { [ "$(ls "$root"/var/lib/parfocal/outbox/*/stack.json 2>/dev/null | wc -l)" -ge "$1" ]; }

# The same package under a higher version.
make_newer() # DEB NEWER
{
    rm -rf "$root/tmp/newer"
    dpkg-deb -R "$1" "$root/tmp/newer"
    sed -i 's/^Version: .*/&+upgrade1/' "$root/tmp/newer/DEBIAN/control"
    echo '# explained otherwise' >>"$root/tmp/newer/usr/share/parfocal/parfocal.conf"
    dpkg-deb -b "$root/tmp/newer" "$2" >/dev/null
}
