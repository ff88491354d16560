#!/bin/bash
# `make cross`: parfocal for arm64, built on another machine, in a Debian of its own with the libraries of both.
#
#   packaging/cross.sh DIR BUILD_PACKAGES...     as root; the program is left in DIR
#
# The system is debootstrapped once (build/package) and thrown away afterwards. What was linked runs once under
# qemu-user: its version, and a stack of three generated frames.
set -eu
cd "${BASH_SOURCE%/*}/.."
dir=$1
shift
keep=$PWD/build/package
base=$keep/bookworm.tar cross=$keep/bookworm-arm64.tar
[ "$(id -u)" -eq 0 ] || { echo 'make cross needs root' >&2; exit 1; }
root=$(mktemp -d /var/tmp/parfocal-cross-XXXXXX)
finish()
{
    local status=$?
    umount -l "$root"/{proc,dev} 2>/dev/null || true
    [ $status -eq 0 ] || tail -n 30 "$root/log" 2>/dev/null
    rm -rf --one-file-system "$root"
    exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM
inside()
{
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        DEBIAN_FRONTEND=noninteractive "$@" >>"$root/log" 2>&1
}

mkdir -p "$keep" "$dir"
if [ -e "$cross" ]; then
    tar -C "$root" -xf "$cross"
elif [ -e "$base" ]; then
    tar -C "$root" -xf "$base"
else
    echo 'making a clean Debian 12 (some minutes, once)'
    debootstrap --variant=minbase bookworm "$root" >"$keep/debootstrap.log" 2>&1
fi
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --make-rslave "$root/dev"
if [ ! -e "$cross" ]; then
    echo 'installing compilers and libraries of arm64 (some minutes, once)'
    cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
    cat >"$root/etc/apt/sources.list" <<'L'
deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian-security bookworm-security main
L
    for file in /etc/apt/apt.conf.d/*proxy*; do [ ! -e "$file" ] || cp "$file" "$root/etc/apt/apt.conf.d/"; done
    packages=()
    for package; do
        case $package in
        gcc | g++ | libc6-dev | pkg-config) ;;
        *) packages+=("$package:arm64") ;;
        esac
    done
    inside dpkg --add-architecture arm64
    inside apt-get -q update
    inside apt-get -qy install --no-install-recommends make gcc-aarch64-linux-gnu g++-aarch64-linux-gnu \
        pkg-config qemu-user-static gcc libc6-dev xxd "${packages[@]}"
    tar -C "$root" --one-file-system --exclude=./proc/* --exclude=./dev/* --exclude=./var/cache/apt/archives/* \
        --exclude=./log -cf "$cross.part" .
    mv "$cross.part" "$cross"
fi

mkdir "$root/parfocal"
git ls-files -z --cached --others --exclude-standard |
    while IFS= read -rd '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
    tar -c --null -T - | tar -x -C "$root/parfocal"
version=$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
echo "building parfocal $version for arm64"
inside make -C /parfocal CROSS=aarch64-linux-gnu VERSION="$version" all build/aarch64-linux-gnu/tests/generate
built=/parfocal/build/aarch64-linux-gnu
file=$(head -c 20 "$root$built/parfocal" | od -An -tx1 | tr -d ' \n')
case $file in # an ELF file for machine 0xb7, AArch64
7f454c46*b700*) ;;
*) echo 'this is no program for arm64' >&2; exit 1 ;;
esac
cp "$root$built/parfocal" "$dir/parfocal"

# qemu-user knows neither seccomp nor Landlock of its guest: that is what stays for a board.
inside qemu-aarch64-static "$built/parfocal" --version
inside qemu-aarch64-static "$built/tests/generate" --out /tmp/in --no-truth --width 160 --height 120 --frames 3
inside sh -c "qemu-aarch64-static $built/parfocal stack /tmp/in/*.jpg -o /tmp/stack.png --json >/tmp/report"
grep -q '"fused": *3' "$root/tmp/report" && [ -s "$root/tmp/stack.png" ]
echo "built and run under qemu: $dir/parfocal"
