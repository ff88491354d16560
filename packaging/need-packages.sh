#!/bin/sh
# Installs Debian packages that are missing: need-packages.sh [--optional] PACKAGE...
#
# Asks nothing; as root, or through sudo. Quick and silent when all are there. Without root and
# sudo it names what is missing and fails (--optional: goes on). What is installed is for building and
# testing: no daemon of any of them is started, and none at the next start of the machine.
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
# As root, one at a time. Packages ask policy-rc.d whether their daemons may be started: while this
# installs, not. One that is there already is the machine's owner's word, and stays. What of ours was
# left by a power cut is known by its second line.
install=$(cat <<'S'
policy=/usr/sbin/policy-rc.d mark='# parfocal, packaging/need-packages.sh: while it installs'
if [ ! -e $policy ] || grep -qxF "$mark" $policy; then
    trap 'rm -f $policy' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >$policy
    chmod 755 $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=300 -qy update &&
    apt-get -o DPkg::Lock::Timeout=300 -qy install --no-install-recommends "$@" || exit
# Nor when the machine starts; systemd's own are for it to say.
for package; do
    [ "$package" != systemd ] || continue
    dpkg -L "$package" | sed -En 's,^(/usr)?/lib/systemd/system/,,p' | while read -r unit; do
        ! grep -qs '^\[Install\]' "/lib/systemd/system/$unit" || systemctl --quiet disable "$unit"
    done
    dpkg -L "$package" | sed -n 's,^/etc/init\.d/,,p' | while read -r script; do
        update-rc.d "$script" disable
    done
done
S
)
# shellcheck disable=SC2086 # both are lists of words
{
    $as_root flock /run/lock/parfocal-need-packages sh -c "$install" sh $missing
} >"$log" 2>&1 </dev/null && exit 0
cat "$log" >&2
echo "could not install:$missing" >&2
[ -n "$optional" ]
