#!/bin/bash
# `make test-package`: the package in a clean Debian 12, from installation to purge.
#
#   packaging/test-package.sh DEB_DIR GENERATE        as root
#
# A debootstrapped system gets the package with what it
# depends on; the service runs there on a generated burst, as its own user; with a second burst in flight the package
# is upgraded; then it is removed and purged. Said is what was checked; the first thing that is wrong ends it.
# There is no init in a chroot: what systemd would start is started here, with what the unit names;
# the unit itself has test-unit.sh.
set -eu
. "${BASH_SOURCE%/*}/clean-system.bash"

clean_system
listing() # every file that is not apt's, dpkg's or a log
{
    (cd "$root" && find . -xdev \( -path ./proc -o -path ./dev -o -path ./var/lib/dpkg -o -path ./var/lib/apt \
        -o -path ./var/cache -o -path ./var/log -o -path ./tmp -o -path ./run -o -path ./log \) -prune -o -print | sort)
}

# ---- installed
cp "$deb" "$root/tmp/parfocal.deb"
# What it depends on is there before, so that what is new afterwards is the package's alone.
install_needed "$deb"
listing >"$root/log.before"
inside apt-get -qy install --no-install-recommends /tmp/parfocal.deb >"$root/log" 2>&1
for file in /usr/bin/parfocal /etc/parfocal.conf /lib/systemd/system/parfocal.service /lib/systemd/system/parfocal-gpu.service /lib/udev/rules.d/60-parfocal.rules \
    /usr/lib/sysusers.d/parfocal.conf /usr/share/man/man1/parfocal.1.gz /usr/share/man/man5/parfocal.conf.5.gz \
    /usr/share/bash-completion/completions/parfocal /usr/share/zsh/vendor-completions/_parfocal; do
    [ -e "$root$file" ]
done
inside getent passwd parfocal >/dev/null
inside getent group parfocal >/dev/null
not inside sh -c "dpkg-query -W -f '\${Conffiles}\n' parfocal | grep /etc/parfocal.conf"
inside parfocal config check -c /etc/parfocal.conf >/dev/null
[ -L "$root/etc/systemd/system/multi-user.target.wants/parfocal.service" ]
version=$(inside dpkg-query -W -f '${Version}' libevent-core-2.1-7)
dpkg --compare-versions "$version" ge 2.1.12-stable-8+deb12u1
say "installed $(inside dpkg-query -W -f '${Version}' parfocal) with libevent $version"

# ---- a burst
# What the unit's StateDirectory=, CacheDirectory= and ExecStartPre= do.
for directory in /var/lib/parfocal /var/lib/parfocal/state /var/cache/parfocal; do
    inside install -d -o parfocal -g parfocal -m 750 "$directory"
done
inside install -d -o parfocal -g parfocal -m 770 /var/lib/parfocal/inbox
start_service()
{
    chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin LC_ALL=C.UTF-8 HOME=/var/cache/parfocal setpriv \
        --reuid parfocal --regid parfocal --init-groups --no-new-privs --bounding-set=-all \
        /usr/bin/parfocal serve -c /etc/parfocal.conf >>"$root/log" 2>&1 &
    service=$!
    ours=("$service")
    ready=$(($(grep -c 'worker ready' "$root/log" || true) + 1))
    more_ready() { [ "$(grep -c 'worker ready' "$root/log")" -ge $ready ]; }
    wait_for 60 more_ready
}
stop_service()
{
    kill -TERM "$service"
    wait "$service"
    ours=()
}
make_burst first 6 3
make_burst second 6 5
# An administrator's edit, which upgrades must keep; bursts do not end by a pause while dpkg works.
sed -i 's/^#expected_frames = .*/expected_frames = 6/; s/^#gap = .*/gap = 600/' "$root/etc/parfocal.conf"
: >"$root/log"
start_service
put "$root"/tmp/first/*.jpg
wait_for 60 stacks_are 1
grep -q '"fused": *6' "$root"/var/lib/parfocal/outbox/*/stack.json
say 'a burst was stacked by the installed service, as its own user without capabilities'

# ---- upgraded with a burst in flight
mapfile -t frames < <(ls "$root"/tmp/second/*.jpg)
put "${frames[@]:0:3}"
wait_for 30 grep -q "frame second-03.jpg" "$root/log"
make_newer "$deb" "$root/tmp/newer.deb"
# It explains its keys otherwise; nobody is there to be asked.
# The program is replaced while the old one runs; then the unit is restarted, as its postinst asks for.
inside apt-get -qy install --no-install-recommends /tmp/newer.deb >"$root/log.apt" 2>&1 </dev/null
inside dpkg-query -W -f '${Version}' parfocal | grep -q '+upgrade1$'
grep -q '_dh_action=restart' "$root/var/lib/dpkg/info/parfocal.postinst"
grep -q '^expected_frames = 6' "$root/etc/parfocal.conf"
put "${frames[3]}"
wait_for 30 grep -q "frame second-04.jpg" "$root/log"
stop_service
start_service
put "${frames[@]:4}"
wait_for 90 stacks_are 2
[ "$(grep -l '"fused": *6' "$root"/var/lib/parfocal/outbox/*/stack.json | wc -l)" -eq 2 ]
[ "$(ls -d "$root"/var/lib/parfocal/outbox/*/ | wc -l)" -eq 2 ]
stop_service
say 'upgraded with a burst in flight: it was stacked whole and once, and the configuration was kept'

# ---- removed and purged
inside apt-get -qy remove parfocal >"$root/log.apt" 2>&1
[ ! -e "$root/usr/bin/parfocal" ] && [ ! -e "$root/lib/systemd/system/parfocal.service" ]
[ -e "$root/etc/parfocal.conf" ] && [ -e "$root/var/lib/parfocal/state/journal.sqlite" ]
say 'removed: the program is gone, configuration and journal stay'
inside apt-get -qy purge parfocal >"$root/log.apt" 2>&1
[ ! -e "$root/etc/parfocal.conf" ] && [ ! -e "$root/var/lib/parfocal/state" ] && [ ! -e "$root/var/cache/parfocal" ]
grep -q 'frames and results are left in /var/lib/parfocal' "$root/log.apt"
[ "$(ls "$root"/var/lib/parfocal/outbox/*/stack.tif | wc -l)" -eq 2 ]
[ "$(ls "$root"/var/lib/parfocal/inbox/*.jpg | wc -l)" -eq 12 ]
say "purged: frames and stacks, which are the user's, are all there"

# With nothing of the user's there, nothing is left at all.
rm -rf "$root"/var/lib/parfocal/{inbox,outbox}/*
inside apt-get -qy install --no-install-recommends /tmp/parfocal.deb >"$root/log.apt" 2>&1
inside apt-get -qy purge parfocal >"$root/log.apt" 2>&1
listing >"$root/log.after"
# Files that every package touches, and the record of what is enabled.
left=$(comm -13 "$root/log.before" "$root/log.after" | grep -vE '^\./(log\.|etc/[^/]*-$|etc/\.pwd\.lock|etc/ld\.so\.cache|var/lib/systemd/deb-systemd-helper)' || true)
[ -z "$left" ] || { echo "left behind: $left"; false; }
not inside getent passwd parfocal >/dev/null
say 'purged without data: nothing is left, no user either'
