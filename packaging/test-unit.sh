#!/bin/bash
# A part of `make test-package`: the unit under a running systemd, in a container of systemd-nspawn.
#
#   packaging/test-unit.sh DEB_DIR GENERATE        as root; status 77 where no container boots
#
# The clean system boots with the package in it, without a network. The service must come up by itself in its sandbox,
# stack, come back after SIGKILL and, by the watchdog, after SIGSTOP, be upgraded by dpkg with a burst in flight, say what
# is wrong with a configuration without starting again and again, and end with the machine.
set -eu
. "${BASH_SOURCE%/*}/clean-system.bash"

clean_system
cp "$deb" "$root/tmp/parfocal.deb"
install_needed "$deb"
inside apt-get -qy install --no-install-recommends /tmp/parfocal.deb >"$root/log" 2>&1
rm "$root/usr/sbin/policy-rc.d"
umount -l "$root"/{proc,dev/shm,dev} 2>/dev/null || true
make_burst first 6 3
make_burst second 6 4
make_burst third 6 5
make_burst fourth 6 6
make_newer "$deb" "$root/parfocal-newer.deb"
sed -i 's/^#expected_frames = .*/expected_frames = 6/; s/^#gap = .*/gap = 600/' "$root/etc/parfocal.conf"
# A minute, as it has it, is long for a test; all else is the unit's own.
grep -qx 'WatchdogSec=60' "$root/lib/systemd/system/parfocal.service"
mkdir "$root/etc/systemd/system/parfocal.service.d"
printf '[Service]\nWatchdogSec=6\n' >"$root/etc/systemd/system/parfocal.service.d/quick.conf"

# ---- boots
# nspawn's own filter of system calls leaves out Landlock's.
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 setsid systemd-nspawn -q -D "$root" -b --register=no --keep-unit --private-network \
    --machine="parfocal-$$" --console=pipe \
    --system-call-filter='landlock_create_ruleset landlock_add_rule landlock_restrict_self' \
    </dev/null >"$root.boot" 2>&1 &
nspawn=$!
ours=("$nspawn")
inside() { nsenter -t "$init" -m -p -n -i -u -C /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
booted()
{
    init=$(pgrep -P $nspawn | head -n 1)
    [ -n "$init" ] && [[ $(inside systemctl is-system-running 2>/dev/null) =~ ^(running|degraded)$ ]]
}
wait_for 60 booted || { tail -n 5 "$root.boot"; echo 'skip the unit: no container of systemd-nspawn boots here'; exit 77; }
property() { inside systemctl show -P "$1" parfocal; }
logged() { inside journalctl -q --no-pager -o cat -u parfocal "${@:2}" | grep -q "$1"; }
dump() { inside journalctl -q --no-pager -u parfocal >"$root/log" 2>/dev/null || true; }
trap 'at=$LINENO; dump' ERR
is() { [ "$(property "$1")" = "$2" ]; }

wait_for 30 is ActiveState active
logged 'worker ready'
not logged 'the sandbox has gaps'
property StatusText | grep -q 'worker ready'
[ "$(property User)" = parfocal ]
say "it is up after the boot: $(property StatusText)"
exposure=$(inside systemd-analyze security --no-pager parfocal | sed -n 's/^.*level for parfocal.service: \([0-9.]*\).*/\1/p')
awk -v e="$exposure" 'BEGIN { exit !(e != "" && e <= 1.7) }'
say "systemd-analyze security: $exposure"

# ---- what it may not do: its own mounts and rights, as its main process has them
service=$(property MainPID)
as_service() { inside nsenter -t "$service" -m setpriv --reuid parfocal --regid parfocal --init-groups --bounding-set=-all "$@"; }
for path in /etc /usr /var/lib /root /home; do
    not as_service touch "$path/x" 2>/dev/null
done
as_service touch /var/lib/parfocal/outbox/.x
as_service rm /var/lib/parfocal/outbox/.x
for field in CapEff CapBnd; do
    inside grep -q "^$field:[[:space:]]*0*$" "/proc/$service/status"
done
inside grep -q '^NoNewPrivs:[[:space:]]*1$' "/proc/$service/status"
inside grep -q '^Seccomp:[[:space:]]*2$' "/proc/$service/status"
say 'it can write its own directories and no others, and has no capability'

# A share in the outbox's place is neither made its own nor closed, and needs no drop-in.
inside systemctl stop parfocal
inside mount -t tmpfs -o uid=12345,gid=12345,mode=777 none /var/lib/parfocal/outbox
inside systemctl start parfocal
wait_for 30 is ActiveState active
[ "$(inside stat -c '%u %g %a' /var/lib/parfocal/outbox)" = '12345 12345 777' ]
service=$(property MainPID)
as_service touch /var/lib/parfocal/outbox/.x
inside systemctl stop parfocal
inside umount /var/lib/parfocal/outbox
inside rm /var/lib/parfocal/state/outbox-mount
inside systemctl start parfocal
wait_for 30 is ActiveState active
service=$(property MainPID)
say 'a share mounted on its outbox stays as it is, and is written'

inside useradd --groups parfocal member
as_member() { inside setpriv --reuid member --regid member --init-groups "$@"; }
as_member touch /var/lib/parfocal/inbox/member
as_member rm /var/lib/parfocal/inbox/member
not as_member touch /var/lib/parfocal/outbox/member 2>/dev/null
not inside setpriv --reuid nobody --regid nogroup --clear-groups ls /var/lib/parfocal/inbox 2>/dev/null
inside chmod 2775 /var/lib/parfocal/inbox
say 'members of its group can put frames into the inbox'

# ---- a burst
put "$root"/tmp/first/*.jpg
wait_for 60 stacks_are 1
burst=$(basename "$(ls -d "$root"/var/lib/parfocal/outbox/*/)")
logged 'stack published' "PF_BURST=$burst"
say 'a burst was stacked, and its lines are in the journal by their field'

# ---- killed, hung
mapfile -t frames < <(ls "$root"/tmp/second/*.jpg)
put "${frames[@]:0:3}"
wait_for 30 logged 'frame second-03.jpg'
inside systemctl kill -s KILL --kill-who=main parfocal
wait_for 30 is NRestarts 1
[ "$(inside stat -c '%a %U %G' /var/lib/parfocal/inbox)" = '2775 parfocal parfocal' ]
put "${frames[@]:3}"
wait_for 60 stacks_are 2
say 'killed with a burst in flight: started again, and the burst was stacked'
wait_for 30 is ActiveState active
inside systemctl kill -s STOP --kill-who=main parfocal
wait_for 60 is NRestarts 2
wait_for 30 is ActiveState active
inside journalctl -q --no-pager -o cat -u parfocal | grep -qi 'watchdog timeout'
say 'hung: ended by the watchdog and started again'

# ---- upgraded
mapfile -t frames < <(ls "$root"/tmp/third/*.jpg)
put "${frames[@]:0:3}"
wait_for 30 logged 'frame third-03.jpg'
service=$(property MainPID)
inside dpkg --force-confold -i /parfocal-newer.deb >"$root/log.apt" 2>&1
[ "$(property MainPID)" != "$service" ]
wait_for 30 is ActiveState active
put "${frames[@]:3}"
wait_for 60 stacks_are 3
say 'upgraded with a burst in flight: dpkg restarted it, and the burst was stacked'

# ---- wrong configuration
cp -a "$root/etc/parfocal.conf" "$root/etc/right.conf"
echo 'gapp = 3' >>"$root/etc/parfocal.conf"
not inside systemctl restart parfocal 2>/dev/null
wait_for 30 is ActiveState failed
sleep 5 # longer than RestartSec
is ActiveState failed
logged 'gapp'
mv "$root/etc/right.conf" "$root/etc/parfocal.conf"
inside systemctl restart parfocal
put "$root"/tmp/fourth/*.jpg
wait_for 60 stacks_are 4
[ "$(grep -l '"fused": *6' "$root"/var/lib/parfocal/outbox/*/stack.json | wc -l)" -eq 4 ]
[ "$(ls -d "$root"/var/lib/parfocal/outbox/*/ | wc -l)" -eq 4 ]
say 'a wrong setting is named and not started again and again; mended, all bursts are there once and whole'

# ---- the machine goes down
inside systemctl stop parfocal
is Result success
logged 'stopped'
not inside grep -q . /sys/fs/cgroup/system.slice/parfocal.service/cgroup.procs 2>/dev/null
not inside sh -c "grep -lE '^Name:[[:space:]]*parfocal' /proc/[0-9]*/status 2>/dev/null"
inside systemctl --no-block poweroff
wait_for 60 not kill -0 $nspawn 2>/dev/null
ours=()
say 'stopped in order, with nothing left behind'
