#!/bin/bash
# What is installed beside the program: manual pages, completion, the unit, the configuration.
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/nvidia.bash"

# `make install` of this build, once for all tests. Nothing is built: the program is there.
installed() # [PREFIX]
{
    [ -z "$SAN" ] || skip 'the program of this build is not one to install'
    make -s -C "$ROOT" BUILD="$BUILD" NEED_PACKAGES=true -o "$BUILD/parfocal" DESTDIR="$T/root" \
        PREFIX="${1:-/usr}" install >log 2>&1 || { cat log; fail 'make install'; }
}

test_all_of_it_is_installed()
{
    local file
    installed
    for file in usr/bin/parfocal etc/parfocal.conf usr/share/parfocal/parfocal.conf \
        usr/lib/systemd/system/parfocal.service \
        usr/lib/systemd/system/parfocal-gpu.service \
        usr/lib/sysusers.d/parfocal.conf usr/lib/udev/rules.d/60-parfocal.rules \
        usr/share/man/man1/parfocal.1 usr/share/man/man5/parfocal.conf.5 \
        usr/share/bash-completion/completions/parfocal usr/share/zsh/vendor-completions/_parfocal; do
        [ -s "root/$file" ] || fail "$file is missing"
    done
    expect_status 0 "$PARFOCAL" config check -c root/etc/parfocal.conf
    grep -qx 'state = /var/lib/parfocal/state' root/etc/parfocal.conf
    # A configuration that somebody has edited is theirs.
    echo '# mine' >>root/etc/parfocal.conf
    installed
    grep -q '^# mine' root/etc/parfocal.conf || fail 'the configuration was replaced'
    ! grep -rl '@[A-Z]*@' root --include='*.service' || fail 'a place was not filled in'
}

# Where the zsh of this system looks.
test_zsh_finds_its_completion()
{
    local prefix file
    need zsh
    zsh -f -c 'print -l $fpath' >looked
    for prefix in /usr /usr/local; do
        installed $prefix
        file=$(cd root && find ".$prefix/share/zsh" -name _parfocal)
        file=${file#.}
        grep -qx "${file%/*}" looked || { cat looked; fail "$prefix: it is in ${file%/*}"; }
    done
}

# The maintainer script of the package, with what it calls written down.
test_udev_is_told_of_the_rule_once_the_user_is_made()
{
    local control script=$ROOT/packaging/debian/parfocal.postinst
    [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null || skip 'needs root for a mount namespace'
    sed "s,#DEBHELPER#,echo 'the user is made' >>$T/done," "$script" >postinst
    mkdir bin etc
    touch etc/parfocal.conf
    printf '#!/bin/sh\necho "udevadm $*" >>%s\n' "$T/done" >bin/udevadm
    chmod +x bin/udevadm
    run_it() # WORD COMMAND: in a system where COMMAND was run in an empty /run/udev
    {
        rm -f done
        unshare -m sh -e -c "mount --make-rprivate / && mount --bind $T/etc /etc &&
            mount -t tmpfs none /run && mkdir /run/udev && cd /run/udev &&
            $2 && PATH=$T/bin:\$PATH && sh $T/postinst $1"
    }
    run_it configure 'touch control'
    printf '%s\n' 'the user is made' 'udevadm control --reload' \
        'udevadm trigger --subsystem-match=usb --action=change' | diff - done || fail 'udev is not told'
    for control in 'configure true' "abort-upgrade 'touch control'"; do
        eval run_it $control
        [ "$(cat done)" = 'the user is made' ] || fail "$control: $(cat done)"
    done
}

test_the_package_leaves_a_configuration_alone()
{
    local script
    [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null || skip 'needs root for a mount namespace'
    installed
    for script in postinst postrm; do
        sed 's,#DEBHELPER#,,' "$ROOT/packaging/debian/parfocal.$script" >$script
    done
    mkdir etc
    run_it() # SCRIPT WORD: where nothing but the package is there
    {
        unshare -m sh -e -c "mount --make-rprivate / && mount -t tmpfs none /run && mount -t tmpfs none /var &&
            mount -t tmpfs none /usr/share && mkdir /usr/share/parfocal &&
            cp $T/root/usr/share/parfocal/parfocal.conf /usr/share/parfocal/ && mount --bind $T/etc /etc &&
            sh $T/$1 $2"
    }
    run_it postinst configure
    cmp etc/parfocal.conf root/usr/share/parfocal/parfocal.conf || fail 'none was made'
    [ "$(stat -c %a etc/parfocal.conf)" = 644 ] && [ "$(ls etc)" = parfocal.conf ] || fail "$(ls -l etc)"
    echo '# mine' >etc/parfocal.conf
    run_it postinst 'configure 0.9.0'
    run_it postrm upgrade
    run_it postrm remove
    [ "$(cat etc/parfocal.conf)" = '# mine' ] || fail 'it was replaced'
    run_it postrm purge
    [ ! -e etc/parfocal.conf ] || fail 'it was left'
}

test_the_units_are_well_formed()
{
    need systemd-analyze
    installed
    # Its programs are installed elsewhere here.
    sed -i 's,^ExecStart=.*,ExecStart=/bin/true,' root/usr/lib/systemd/system/*.service
    SYSTEMD_UNIT_PATH=$T/root/usr/lib/systemd/system: systemd-analyze verify --man=no \
        root/usr/lib/systemd/system/*.service >report 2>&1 || { cat report; fail 'systemd-analyze verify'; }
    ! grep parfocal report || fail 'systemd-analyze has something to say'
}

test_a_gpus_devices_are_made_before_the_service()
{
    local command unit=root/usr/lib/systemd/system/parfocal-gpu.service
    installed
    mkdir dev
    two_cards gpus
    nvidia_modprobe nvidia-modprobe dev
    sed -n 's/^ExecStart=-//p' $unit | sed 's,/usr/bin/nvidia,./nvidia,g; s,/proc/driver/nvidia/gpus,gpus,; s,\$\$,$,g' >commands
    while read -r command; do
        eval "$command" || fail "$command"
    done <commands
    printf '%s\n' nvidia-uvm nvidia0 nvidia1 nvidiactl | diff - <(ls dev) || fail 'others are made'
}

# Debian's rule gives cameras to plugdev: ours must leave them there, and the service's user be in it.
test_cameras_stay_with_whom_they_were()
{
    installed
    grep 'GROUP=' root/usr/lib/udev/rules.d/60-parfocal.rules >rules
    [ "$(wc -l <rules)" -eq 2 ] && ! grep -v 'GROUP="plugdev".*TAG+="uaccess"' rules || fail "$(cat rules)"
    need systemd-sysusers
    mkdir -p root/etc
    printf 'root:x:0:0:root:/root:/bin/sh\n' >root/etc/passwd
    printf 'root:x:0:\nplugdev:x:46:me\n' >root/etc/group
    systemd-sysusers --root="$T/root" parfocal.conf 2>log || skip "$(cat log)"
    grep -qx 'plugdev:x:46:me,parfocal' root/etc/group || fail "$(cat root/etc/group)"
}

# systemd gives all of a StateDirectory= to the service's user, which a share's server does not let it do: the unit would not
# start with one that is mounted there.
test_the_outbox_may_be_a_share()
{
    installed
    [ "$(sed -n 's/^StateDirectory=//p' root/usr/lib/systemd/system/parfocal.service)" = 'parfocal parfocal/state' ] || fail 'systemd makes it'
    mkdir -p in lib/parfocal
    umask "$(sed -n 's/^UMask=//p' root/usr/lib/systemd/system/parfocal.service)"
    start serve "$PARFOCAL" serve --source "folder:$T/in" --outbox "$T/lib/parfocal/outbox" --state "$T/lib/parfocal/state"
    wait_for 20 grep -q 'worker ready' serve.err
    [ "$(stat -c %a lib/parfocal/outbox)" = 750 ] || fail "made with $(stat -c %a lib/parfocal/outbox)"
}

# StateDirectory= would set its mode anew with each start.
test_who_may_write_the_inbox_is_kept()
{
    installed
    local unit=root/usr/lib/systemd/system/parfocal.service command
    ! grep '^StateDirectory=.*inbox' $unit || fail 'its mode does not stay'
    command=$(sed -n 's,^ExecStartPre=-\(.*inbox\)$,\1,p' $unit)
    [ -n "$command" ] || fail 'who makes it?'
    command=${command//%S/$T/lib}
    umask 0027
    $command
    [ "$(stat -c %a lib/parfocal/inbox)" = 770 ] || fail "made with $(stat -c %a lib/parfocal/inbox)"
    chmod 2775 lib/parfocal/inbox
    $command
    [ "$(stat -c %a lib/parfocal/inbox)" = 2775 ] || fail 'the mode was not kept'
}

test_the_units_sandbox_is_strict()
{
    need systemd-analyze
    installed
    local unit=root/usr/lib/systemd/system/parfocal.service level
    systemd-analyze security --offline=true "$unit" >report 2>&1 || skip "$(tail -n 1 report)"
    level=$(sed -n 's/^→ Overall exposure level for parfocal.service: \([0-9.]*\).*/\1/p' report)
    awk -v level="$level" 'BEGIN { exit !(level != "" && level <= 1.7) }' ||
        { grep '✗' report; fail "exposure ${level:-unknown}, 1.7 is the limit"; }
    # A filter that names what this systemd does not know would be no filter.
    ! grep -i 'unknown\|ignoring' report || fail 'systemd does not understand it'
}

# Each line by itself: the sum above stays below its limit without many of them. That no device beside these can be
# opened in such a unit is systemd's and the kernel's to see to, and is not tried here.
test_the_unit_has_each_line_of_its_sandbox()
{
    local line unit=root/usr/lib/systemd/system/parfocal.service
    installed
    cat >wanted <<'U'
DevicePolicy=closed
DeviceAllow=char-usb_device rw
DeviceAllow=char-nvidia* rw
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
RemoveIPC=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
LimitCORE=0
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
PrivateUsers=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallFilter=~@privileged @resources @mount @swap @reboot @raw-io @obsolete @debug @cpu-emulation @clock @module
SystemCallFilter=sched_setaffinity sched_setscheduler setpriority set_mempolicy mbind
SystemCallErrorNumber=EPERM
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
IPAddressDeny=any
IPAddressAllow=localhost link-local 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7
User=parfocal
Group=parfocal
UMask=0027
StateDirectoryMode=0750
CacheDirectoryMode=0750
WatchdogSec=60
Restart=always
RestartPreventExitStatus=2
KillMode=mixed
OOMPolicy=continue
U
    # All lines of these names, so that none takes another one back; and nothing else that opens something.
    is_as_wanted() # UNIT
    {
        grep -E "^($(sed 's/=.*//' wanted | sort -u | paste -sd '|')|ReadWritePaths|Bind.*|.*Capabilit.*|PermissionsStartOnly)=" "$1" |
            sort | diff <(sort wanted) - >differs
    }
    is_as_wanted $unit || fail "$(cat differs)"
    # It would be seen if one went.
    while read -r line; do
        grep -vxF "$line" $unit >without
        ! is_as_wanted without || fail "nobody misses $line"
    done <wanted
    printf '%s\n' 'ProtectHome=no' >>without
    ! is_as_wanted without || fail 'a second line that opens what the first has closed is not seen'
}

test_manual_pages_are_well_formed()
{
    local page
    need mandoc
    for page in page conf; do
        "$PARFOCAL" manual $page >$page.roff
        mandoc -Tlint -Wwarning $page.roff >lint || { cat lint; fail "mandoc on $page"; }
        if command -v man >/dev/null && command -v groff >/dev/null; then
            LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l $page.roff 2>warnings >/dev/null || true
            [ ! -s warnings ] || { cat warnings; fail "man on $page"; }
        fi
    done
}

test_manual_pages_have_every_setting_and_command()
{
    local key command
    need mandoc
    "$PARFOCAL" manual conf | mandoc -Tutf8 | sed 's/.\x08//g' >conf
    "$PARFOCAL" manual page | mandoc -Tutf8 | sed 's/.\x08//g' >page
    "$PARFOCAL" config show | sed -n 's/^#\{0,1\}\([a-z_0-9]*\) = .*/\1/p' | sort -u >keys
    [ "$(wc -l <keys)" -gt 30 ] || fail 'where are the settings?'
    while read -r key; do
        grep -q "^ *$key = " conf || fail "parfocal.conf(5) has no $key"
    done <keys
    for command in $("$PARFOCAL" help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
        grep -q "parfocal $command" page || fail "parfocal(1) has no $command"
    done
}

test_bash_completes()
{
    "$PARFOCAL" manual bash >completion
    # complete WORDS...: what the last one may become
    cat >ask <<'A'
. ./completion
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_parfocal
printf '%s\n' "${COMPREPLY[@]}"
A
    bash ask parfocal ser | grep -qx serve
    bash ask parfocal serve --out | grep -qx -- --outbox
    bash ask parfocal stack --depth | grep -qx -- --depth-map
    bash ask parfocal serve --no-rec | grep -qx -- --no-recursive
    bash ask parfocal serve --motion aff | grep -qx affine
    bash ask parfocal serve --device '' | sort | tr '\n' ' ' | grep -qx 'auto cpu cuda '
    bash ask parfocal config '' | grep -qx check
    mkdir folder
    touch frame.jpg
    bash ask parfocal serve --outbox f | grep -qx folder
    ! bash ask parfocal serve --outbox f | grep -q frame || fail 'a file for a directory'
    bash ask parfocal stack f | grep -qx frame.jpg
    mkdir 'a folder'
    touch 'a frame.jpg'
    bash ask parfocal serve --outbox a | grep -qx 'a folder'
    bash ask parfocal stack 'a f' | grep -qx 'a frame.jpg'
}

test_zsh_understands_its_completion()
{
    need zsh
    "$PARFOCAL" manual zsh >_parfocal
    zsh -n _parfocal
    # Each option is a specification that _arguments takes.
    zsh -f -c '
        fpath=($PWD $fpath)
        autoload -Uz compinit && compinit -u -D -d $PWD/dump
        autoload -Uz +X _parfocal
        _describe() { print -l -- ${(P)2} }
        _arguments() { shift; print -l -- "$@" }
        words=(parfocal serve "") CURRENT=3
        _parfocal' >specs
    grep -q '^--motion\[.*:motion:(shift similarity affine homography)$' specs || fail "$(head specs)"
    grep -q '^--outbox\[.*:outbox:_directories$' specs
    "$PARFOCAL" manual nonsense 2>err && fail 'nonsense is taken'
    grep -q 'say `parfocal manual page`' err
}

test_what_tests_need_is_installed_without_its_daemons()
{
    need unshare flock
    [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null || skip 'needs root for a mount namespace'
    [ -d /lib/systemd/system ] && [ -d /run/lock ] || skip 'no systemd here'
    mkdir bin sbin units
    printf '[Service]\n[Install]\nWantedBy=multi-user.target\n' >units/broker.service
    printf '[Service]\n' >units/helper.service
    # What dpkg and apt do, with their words in $T/done; a daemon asks whether it may start, and one of
    # another installation as well.
    cat >bin/tool <<S
#!/bin/sh
tool=\${0##*/}
case \$tool in
dpkg-query) cat $T/known 2>/dev/null ;;
dpkg) printf '%s\n' /lib/systemd/system/broker.service /lib/systemd/system/helper.service /etc/init.d/broker ;;
apt-get)
    case "\$*" in *\ install\ *) ;; *) exit 0 ;; esac
    echo "apt-get \${*##*-recommends }" >>$T/done
    /usr/sbin/policy-rc.d broker start
    echo "policy \$?" >>$T/done
    env -u PARFOCAL_INSTALLS /usr/sbin/policy-rc.d broker start
    echo "policy of others \$?" >>$T/done
    exit \$(cat $T/answer)
    ;;
*) echo "\$tool \$*" >>$T/done ;;
esac
S
    chmod +x bin/tool
    ln -s tool bin/apt-get && ln -s tool bin/dpkg && ln -s tool bin/dpkg-query
    ln -s tool bin/systemctl && ln -s tool bin/update-rc.d
    install_packages() # MUST BE: status
    {
        rm -f "$T/done"
        expect_status "$1" unshare -m sh -c "mount --make-rprivate / && mount --bind $T/sbin /usr/sbin &&
            mount --bind $T/units /lib/systemd/system && PATH=$T/bin:\$PATH exec '$ROOT/packaging/need-packages.sh' one"
    }
    echo 0 >answer
    install_packages 0
    printf '%s\n' 'apt-get one' 'policy 101' 'policy of others 0' \
        'systemctl --quiet disable broker.service' 'update-rc.d broker disable' |
        diff - done || fail 'a daemon may start, or something else was done'
    [ -z "$(ls sbin)" ] || fail 'the policy stayed'
    # One that is there already, held at its version, is not missing; one that is half there is its owner's.
    echo 'hi one' >known
    install_packages 0
    [ ! -e done ] || fail "what is held was missing: $(cat done)"
    echo 'iF one' >known
    install_packages 0
    printf '%s\n' 'apt-get one' 'policy 101' 'policy of others 0' | diff - done || fail 'a daemon that was there'
    rm known
    # Also when nothing could be installed, and over what was left by a crash.
    echo 100 >answer
    install_packages 1
    [ -z "$(ls sbin)" ] || fail 'the policy stayed after a failure'
    printf '#!/bin/sh\n# parfocal, packaging/need-packages.sh: while it installs\nexit 101\n' >sbin/policy-rc.d
    install_packages 1
    [ -z "$(ls sbin)" ] || fail 'a policy that was left over stayed'
    printf '#!/bin/sh\n# parfocal, packaging/need-packages.sh: while it installs\nexit 101\n' >sbin/policy-rc.d
    echo 'ii one' >known
    install_packages 0
    [ -z "$(ls sbin)" ] || fail 'a policy that was left over stayed, with nothing to install'
    [ ! -e done ] || fail "$(cat done)"
    rm known
    # Somebody's own policy is kept.
    printf '#!/bin/sh\nexit 104\n' >sbin/policy-rc.d
    chmod +x sbin/policy-rc.d
    echo 0 >answer
    install_packages 0
    grep -qx 'policy 104' done
    grep -q 'exit 104' sbin/policy-rc.d || fail "somebody's policy is gone"
}
