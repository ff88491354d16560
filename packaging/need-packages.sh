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

policy=/usr/sbin/policy-rc.d mark='# parfocal, packaging/need-packages.sh: while it installs'
left=
! grep -qsxF "$mark" $policy || left=yes
missing=
# Whatever is wanted of it (a held one is `hi`): it is there.
installed=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null | sed -n 's/^.i *//p')
for package in "$@"; do
    printf '%s\n' "$installed" | grep -qxF "$package" || missing="$missing $package"
done
[ -n "$missing$left" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
    if sudo -n true 2>/dev/null || { [ -n "$missing" ] && [ -t 0 ] && command -v sudo >/dev/null; }; then
        as_root="sudo"
    elif [ -z "$missing" ]; then
        # Unless one is at work.
        ! flock -n /run/lock/parfocal-need-packages true 2>/dev/null ||
            echo "left by an installation that was broken off; as root: rm $policy" >&2
        exit 0
    else
        echo "missing packages; as root: apt-get install --no-install-recommends$missing" >&2
        [ -n "$optional" ]
        exit
    fi
fi
[ -z "$missing" ] || echo "installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# As root, one at a time. Packages ask policy-rc.d whether their daemons may be started: those that this
# installs, not; what others install meanwhile is no matter of ours, and a variable tells which is which.
# A policy that is there already is the machine's owner's word, and stays. What of ours was left by a
# power cut is known by its second line, and goes also where nothing is to be installed.
install=$(cat <<'S'
policy=$1 mark=$2
shift 2
if [ ! -e $policy ] || grep -qxF "$mark" $policy; then
    trap 'rm -f $policy' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\n%s\n[ -z "$PARFOCAL_INSTALLS" ] || exit 101\nexit 0\n' "$mark" >$policy
    chmod 755 $policy
fi
[ $# -gt 0 ] || exit 0
new=
for package; do
    case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) in
    '' | ?[nc]*) new="$new $package" ;;
    esac
done
export PARFOCAL_INSTALLS=1 DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=300 -qy update &&
    apt-get -o DPkg::Lock::Timeout=300 -qy install --no-install-recommends "$@" || exit
# Nor when the machine starts, where they are new to it; systemd's own are for it to say.
for package in $new; do
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
wait=
[ -n "$missing" ] || wait=-n # another installation, at work just now, has written it
# shellcheck disable=SC2086 # lists of words
{
    $as_root flock $wait /run/lock/parfocal-need-packages sh -c "$install" sh $policy "$mark" $missing
} >"$log" 2>&1 </dev/null && exit 0
cat "$log" >&2
[ -n "$missing" ] || exit 0
echo "could not install:$missing" >&2
[ -n "$optional" ]
