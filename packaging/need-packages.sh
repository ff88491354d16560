#!/bin/sh
# Installs Debian packages that are missing: need-packages.sh [--optional] PACKAGE...
#
# Asks nothing; as root, or through sudo. Quick and silent when all are there. Without root and
# sudo it names what is missing and fails (--optional: goes on).
set -u
optional=
[ "${1:-}" != --optional ] || { optional=yes; shift; }

command -v dpkg-query >/dev/null || {
    echo "no Debian here: make sure that you have what these packages hold: $*" >&2
    exit 0
}

missing=
installed=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null | sed -n 's/^ii *//p')
for package in "$@"; do
    printf '%s\n' "$installed" | grep -qxF "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if sudo -n true 2>/dev/null || { [ -t 0 ] && command -v sudo >/dev/null; }; then
        as_root="sudo"
    else
        echo "missing packages; as root: apt-get install --no-install-recommends$missing" >&2
        [ -n "$optional" ]
        exit
    fi
fi
echo "installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # both are lists of words
{
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qy update &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qy \
            install --no-install-recommends $missing
} >"$log" 2>&1 </dev/null && exit 0
cat "$log" >&2
echo "could not install:$missing" >&2
[ -n "$optional" ]
