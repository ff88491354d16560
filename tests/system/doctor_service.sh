#!/bin/bash
# What `parfocal doctor` finds of the installed service, as its user and within what its unit allows, each with the
# command that mends it. Unit, configuration and directories are staged in a mount namespace of their own.
# time limit: 480
# not under a sanitizer: the doctor is the same in doctor.sh
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/doctor.bash"

# The installed service: its user, its configuration with the lines of `configuration`, and its unit as systemd tells
# of it, with lines of `drop_in` last. Directories for it are in /srv and /home, which are the namespace's own.
installed()
{
    mkdir bin
    cat >bin/systemctl <<S
#!/bin/sh
[ "\$1" = show ] || exit 0 # daemon-reload, restart
more=/etc/systemd/system/parfocal.service.d
if grep -qs ^ProtectHome= \$more/*; then grep -v ^ProtectHome= "\${0%/*}/unit"; else cat "\${0%/*}/unit"; fi
# As it says them: what is bound to itself, and without quotes; what stands for something in units.
[ ! -d \$more ] || sed -E 's/%%/%/g; s/"//g; s/^(Bind[^=]*)=([^:]*)$/\1=\2:\2/; s/^Bind.*/&:rbind/; s/^ReadWritePaths=(.*)/ReadWritePaths="\1"/' \$more/*
S
    chmod +x bin/systemctl
    cat >bin/unit <<S
LoadState=loaded
ExecStart={ path=/usr/bin/parfocal ; argv[]=/usr/bin/parfocal serve -c /etc/parfocal.conf ; ignore_errors=no ; pid=0 }
User=parfocal
Group=
SupplementaryGroups=
WorkingDirectory=/srv/parfocal
ProtectHome=yes
ProtectSystem=strict
PrivateTmp=yes
ReadWritePaths=/srv/parfocal
StateDirectory=parfocal parfocal/state
BindReadOnlyPaths=
S
    printf '%s\n' "$@" >parfocal.conf
    cp -a /etc etc
    rm -rf etc/systemd/system/parfocal.service.d
    sed -i '/^[^:]*:[^:]*:99[01]:/d' etc/passwd etc/group # its own numbers here
    printf 'parfocal:x:990:990::/srv/parfocal:/usr/sbin/nologin\n' >>etc/passwd
    printf 'parfocal:x:990:\n' >>etc/group
    cp parfocal.conf etc/parfocal.conf
    export PATH=$T/bin:$PATH
    bare=yes
    service="mount --bind $T/etc /etc; mount -t tmpfs none /srv; mount -t tmpfs none /home
        mkdir -m 750 /srv/parfocal; chown 990:990 /srv/parfocal"
}

test_the_installed_service_is_looked_at_as_its_user()
{
    installed 'source = folder:/srv/in' 'outbox = outbox' 'state = /srv/parfocal/state' 'sandbox = no'
    staged "$service; mkdir -m 700 /srv/in"
    finds warn sandbox 'sandbox = no' "sed -i .*sandbox = yes.* '/etc/parfocal.conf' && systemctl restart parfocal"
    grep -Eq '^ok    parfocal  version .*, /etc/parfocal.conf: as the service.s user parfocal$' out || fail "$(head -n 3 out)"
    finds FAIL source 'in: Permission denied' "setfacl -R -m u:parfocal:rX,d:u:parfocal:rX '/srv/in'"
    # What is relative begins where the service does.
    grep -q '^ok    outbox  */srv/parfocal/outbox: writable' out || fail "$(cat out)"
    grep -q '^ok    state  */srv/parfocal/state: writable' out || fail "$(cat out)"
    # Nor does it matter where its command is given.
    staged "$service; mkdir -m 700 /srv/parfocal/outbox"
    finds FAIL outbox 'outbox: Permission denied' "setfacl -m u:parfocal:rwx,d:u:parfocal:rwx '/srv/parfocal/outbox'$"
    # The same by name; other options are not the service's.
    staged "$service; mkdir -m 700 /srv/in" --config /etc/parfocal.conf
    finds FAIL source 'in: Permission denied' 'u:parfocal:rX'
    staged "$service; mkdir -m 700 /srv/in" --source folder:/srv/in
    grep -q '^ok    source ' out || fail "$(cat out)"
    need setfacl
    mend=source staged "$service; mkdir -m 700 /srv/in"
    grep -q '^ok    source .*/srv/in: readable' out || fail "$(cat before out)"
    grep -qx 'apt-get install -y acl' asked-for || fail 'something was installed'
}

test_what_is_relative_is_named_whole()
{
    installed 'source = folder:in' 'source = folder:./more' 'outbox = full' 'state = state' 'scratch = none' \
        'on_burst = bin/hook --quick' 'on_stop = bin/gone'
    local house="$service; mkdir /srv/parfocal/full /srv/parfocal/bin; mount -t tmpfs -o size=1m none /srv/parfocal/full
        cp /bin/true /srv/parfocal/bin/hook; chmod 600 /srv/parfocal/bin/hook"
    staged "$house"
    finds FAIL source '/srv/parfocal/in: No such' "mkdir -p '/srv/parfocal/in'$"
    finds FAIL source '/srv/parfocal/more: No such' "mkdir -p '/srv/parfocal/more'$"
    finds FAIL outbox '/srv/parfocal/full: [01] MiB free' "du -xhd1 '/srv/parfocal/full' "
    finds warn scratch '/srv/parfocal/none: is not there' "install -d -o parfocal -g parfocal '/srv/parfocal/none'$"
    finds FAIL on_burst '/srv/parfocal/bin/hook cannot be run' "chmod a.rx '/srv/parfocal/bin/hook'$"
    finds FAIL on_stop '/srv/parfocal/bin/gone is not there' "ls -l '/srv/parfocal/bin/gone'$"
    # Where the directory itself is not there either; a unit that names none has the root.
    staged "$house; umount /srv/parfocal/full; rm -r /srv/parfocal"
    finds FAIL source '/srv/parfocal/in: No such' "mkdir -p '/srv/parfocal/in'$"
    finds FAIL source '/srv/parfocal/more: No such' "mkdir -p '/srv/parfocal/more'$"
    finds FAIL on_burst '/srv/parfocal/bin/hook is not there' "ls -l '/srv/parfocal/bin/hook'$"
    sed -i 's/^WorkingDirectory=.*/WorkingDirectory=/' bin/unit
    staged "$service"
    finds FAIL source ' /in: No such' "mkdir -p '/in'$"
    # For whoever runs it, relative paths begin here.
    expect_status 1 "$PARFOCAL" doctor --source folder:in
    finds FAIL source "$T/in: No such" "mkdir -p '$T/in'$"
}

test_without_systemd_the_configuration_is_found_alone()
{
    installed 'source = folder:/srv/in' 'outbox = /srv/outbox' 'state = /srv/state'
    printf '#!/bin/sh\necho "System has not been booted with systemd as init system" >&2\nexit 1\n' >bin/systemctl
    staged "$service; mkdir -m 700 /srv/in"
    grep -q '^ok    parfocal  version [^ ]*, /etc/parfocal.conf$' out || fail "$(head -n 3 out)"
    grep -q '^ok    source .*/srv/in: readable' out || fail "$(cat out)"
    # What is wrong in it is said as `serve` says it.
    echo 'outbx = x' >>etc/parfocal.conf
    status=0
    unshare -m sh -c 'mount --bind "$0/etc" /etc; exec "$1" doctor' "$T" "$PARFOCAL" >out 2>err || status=$?
    [ $status -eq 2 ] && grep -q 'parfocal.conf:4: .*outbx' err || fail "status $status: $(cat err)"
}

test_a_service_without_its_user()
{
    installed 'source = folder:/srv/in'
    sed -i /^parfocal:/d etc/passwd
    staged "$service; mkdir /srv/in"
    finds FAIL parfocal 'its user is not there' 'systemd-sysusers'
}

# As which it makes what it makes, and reads what is open to that one; the user's own it is not in then.
test_the_group_of_the_unit()
{
    installed 'source = folder:/srv/photos' 'source = folder:/srv/own' 'outbox = /srv/stacks/out' 'state = /srv/parfocal/state'
    echo 'photos:x:991:' >>etc/group
    echo 'ReadWritePaths=/srv' >>bin/unit
    local house="$service; mkdir -m 750 /srv/photos /srv/own /srv/stacks; chgrp 991 /srv/photos; chgrp 990 /srv/own; chmod 755 /srv/stacks"
    staged "$house"
    finds FAIL source '/srv/photos: Permission denied' 'setfacl -R -m u:parfocal:rX'
    grep -q '^ok    source .*/srv/own: readable' out || fail "$(cat out)"
    finds FAIL outbox 'Permission denied' "install -d -o parfocal -g parfocal '/srv/stacks/out'"
    sed -i 's/^Group=.*/Group=photos/' bin/unit
    staged "$house"
    grep -q '^ok    source .*/srv/photos: readable' out || fail "$(cat out)"
    finds FAIL source '/srv/own: Permission denied' 'setfacl -R -m u:parfocal:rX'
    finds FAIL outbox 'Permission denied' "install -d -o parfocal -g photos '/srv/stacks/out'"
    # All of that may be given by number, and another group beside the user's own.
    sed -i 's/^Group=.*/Group=991/; s/^User=.*/User=990/' bin/unit
    staged "$house"
    grep -q '^ok    parfocal .* as the service.s user parfocal$' out || fail "$(cat out)"
    grep -q '^ok    source .*/srv/photos: readable' out || fail "$(cat out)"
    finds FAIL outbox 'Permission denied' "install -d -o parfocal -g photos '/srv/stacks/out'"
    sed -i 's/^Group=.*/Group=/; s/^SupplementaryGroups=.*/SupplementaryGroups=991/' bin/unit
    staged "$house"
    grep -q '^ok    source .*/srv/photos: readable' out || fail "$(cat out)"
    grep -q '^ok    source .*/srv/own: readable' out || fail "$(cat out)"
    # Without one of them it does not start.
    sed -i 's/^SupplementaryGroups=.*/SupplementaryGroups=photos 3999999991/' bin/unit
    staged "$house"
    finds FAIL parfocal 'the service of /etc/parfocal.conf: its group 3999999991 is not there' 'systemctl edit parfocal '
    sed -i 's/^Group=.*/Group=pictures/; s/^SupplementaryGroups=.*/SupplementaryGroups=/' bin/unit
    staged "$house"
    finds FAIL parfocal 'the service of /etc/parfocal.conf: its group pictures is not there' \
        "groupadd --system 'pictures' && systemctl restart parfocal$"
    sed -i 's/^Group=.*/Group=photos/' bin/unit
    # As what the unit is yet to show.
    sed -i '/^ReadWritePaths=.srv$/d' bin/unit
    staged "$house"
    finds FAIL outbox 'may read it and not write' "install -d -o parfocal -g 991 '/srv/stacks/out'"
}

# Members of the house see less than root, and are told so.
test_somebody_else_is_told_to_ask_as_root()
{
    need setpriv
    installed 'source = folder:/srv/in'
    staged "$service; mkdir /srv/in; cp -r $T/bin /srv; PATH=/srv/bin:\$PATH; set -- setpriv --reuid 65534 --regid 65534 --clear-groups \"\$@\""
    finds warn parfocal 'as this user, and not as the service' 'sudo parfocal doctor'
}

# Nor need they be able to read what it is configured with.
test_somebody_who_may_not_read_the_configuration()
{
    need setpriv
    installed 'source = folder:/srv/in'
    local somebody="cp -r $T/bin /srv; PATH=/srv/bin:\$PATH; set -- setpriv --reuid 65534 --regid 65534 --clear-groups \"\$@\""
    chmod 640 etc/parfocal.conf
    staged "$service; mkdir /srv/in; $somebody"
    finds warn parfocal 'with the defaults, not as /etc/parfocal.conf has it: Permission denied' 'sudo parfocal doctor$'
    grep -q '^ok    clock ' out || grep -q '^warn  clock ' out || fail "$(cat out)"
    # Whoever names it is told.
    status=0
    unshare -m sh -c 'mount --bind "$0/etc" /etc; exec setpriv --reuid 65534 --regid 65534 --clear-groups "$1" doctor -c /etc/parfocal.conf' \
        "$T" "$PARFOCAL" >out 2>err || status=$?
    [ $status -eq 2 ] && grep -q 'parfocal.conf: Permission denied' err || fail "status $status: $(cat err)"
}

test_what_the_unit_hides_is_named_with_what_opens_it()
{
    local check
    installed 'source = folder:/home/me/in box' 'outbox = /srv/out 100%' 'state = /srv/parfocal/state' \
        'scratch = /var/tmp' 'on_burst = "/home/me/bin/hook" --quick'
    mkdir -p etc/systemd/system
    local house="$service; mkdir -p -m 755 '/home/me/in box' /home/me/bin; chmod 700 /home/me
        cp /bin/true /home/me/bin/hook"
    staged "$house"
    finds FAIL source '/home/me/in box: the service.s unit may not look there' \
        "printf .*'\[Service\]' ProtectHome=tmpfs 'BindReadOnlyPaths=\"/home/me/in box\"' >>/etc/systemd/system/parfocal.service.d/paths.conf"
    finds FAIL outbox '/srv/out 100%: the service.s unit may read it and not write' \
        "install -d -o parfocal -g 990 '/srv/out 100%' && .*'ReadWritePaths=\"/srv/out 100%%\"'"
    finds FAIL on_burst '/home/me/bin/hook: the service.s unit may not look there' "'BindReadOnlyPaths=/home/me/bin/hook'"
    grep -q '^ok    state .*/srv/parfocal/state: writable' out || fail "$(cat out)"
    grep -Eq '^(ok  |warn)  scratch .*/var/tmp: ' out || fail "$(cat out)"
    # What is printed opens it: a bound folder counts though the home around it is closed.
    for check in source outbox on_burst; do
        mend=$check staged "$house"
        ! grep "^FAIL  *$check " out || fail "$(cat before out)"
    done
    # As it was when homes are to be read.
    rm -r etc/systemd/system/parfocal.service.d
    sed -i 's/^ProtectHome=.*/ProtectHome=read-only/' bin/unit
    staged "$house"
    ! grep '^FAIL  source .*the service.s unit' out || fail "$(cat out)"
    finds FAIL source 'Permission denied' "setfacl -m u:parfocal:x '/home/me'"
    sed -i 's/^source.*/source = folder:\/tmp/' etc/parfocal.conf
    staged "$house"
    finds FAIL source '/tmp: the service.s unit has an empty directory of its own there' 'BindReadOnlyPaths=/tmp'
}

# Nobody needs to be let through the directories above what the unit binds, nor is what leads past them to be opened.
test_what_the_unit_binds_is_mended_itself()
{
    local check house
    need setfacl
    installed 'source = folder:/home/me/inbox' 'outbox = /home/me/stacks' 'state = /home/me/state' 'spool = /home/me/more/spool' \
        'source = camera' 'scratch = /srv/seen/scratch' 'on_burst = /home/me/hook'
    sed -i 's/^ProtectHome=.*/ProtectHome=tmpfs/' bin/unit
    printf '%s\n' 'BindReadOnlyPaths=/home/me/inbox:/home/me/inbox:rbind /home/me/hook' \
        'BindPaths=/home/me/stacks /home/me/state -/home/me/more /home/me/kept/wide:/srv/seen:rbind' >>bin/unit
    house="$service; mkdir -m 700 /home/me /home/me/inbox /home/me/stacks /home/me/state /home/me/kept
        mkdir -m 755 /srv/seen /home/me/more /home/me/kept/wide; cp /bin/true /home/me/hook; chmod 700 /home/me/hook"
    staged "$house"
    finds FAIL source '/home/me/inbox: Permission denied' "setfacl -R -m u:parfocal:rX,d:u:parfocal:rX '/home/me/inbox'$"
    finds FAIL outbox '/home/me/stacks: cannot write' "setfacl -m u:parfocal:rwx,d:u:parfocal:rwx '/home/me/stacks'$"
    finds FAIL state '/home/me/state: cannot write' "setfacl -m u:parfocal:rwx,d:u:parfocal:rwx '/home/me/state'$"
    finds FAIL spool 'cannot write in /home/me/more: ' "install -d -o parfocal -g parfocal '/home/me/more/spool'$"
    finds FAIL on_burst '/home/me/hook cannot be run' "chmod a.rx '/home/me/hook'$"
    # What is bound to another place is opened where it lies.
    finds warn scratch 'is not there' "install -d -o parfocal -g parfocal '/home/me/kept/wide/scratch'$"
    ! grep -E -- "-> .*('/home/me'|/proc/|'/srv/)" out || fail 'the home is opened'
    for check in source outbox state spool on_burst; do
        mend=$check staged "$house"
        ! grep -E "^(FAIL|warn)  *$check " out || fail "$(cat before out)"
    done
    staged "$house; chown 990 /home/me/stacks; mount -t tmpfs -o size=1m,mode=755,uid=990 none /home/me/stacks
        touch /home/me/state/lock; chmod 600 /home/me/state/lock; chmod 777 /home/me/state"
    finds FAIL outbox '/home/me/stacks: [01] MiB free' "du -xhd1 '/home/me/stacks' "
    finds FAIL state 'lock belongs to somebody else' "chown -h parfocal:parfocal '/home/me/state/lock'$"
}

# What lies between what is bound and the place is still to be gone through.
test_a_directory_beneath_what_is_bound_that_is_closed()
{
    local house check
    need setfacl
    installed 'source = folder:/home/me/photos/more/in' 'outbox = /home/me/parfocal/outbox' 'state = /srv/seen/deep/state' \
        'on_burst = /home/me/photos/hook'
    sed -i 's/^ProtectHome=.*/ProtectHome=tmpfs/' bin/unit
    printf '%s\n' 'BindReadOnlyPaths=/home/me/photos' 'BindPaths=/home/me/parfocal /home/me/kept:/srv/seen:rbind' >>bin/unit
    house="$service; mkdir -m 700 /home/me /home/me/parfocal; mkdir -m 711 /home/me/kept /home/me/photos
        mkdir -m 700 /home/me/kept/deep /home/me/photos/more; cp /bin/true /home/me/photos/hook
        mkdir -m 755 /home/me/parfocal/outbox /home/me/kept/deep/state /home/me/photos/more/in
        chown 990:990 /home/me/parfocal/outbox /home/me/kept/deep/state"
    staged "$house"
    finds FAIL source '/home/me/photos/more/in: Permission denied' "setfacl -m u:parfocal:x '/home/me/photos/more'$"
    finds FAIL outbox '/home/me/parfocal/outbox: cannot write' "setfacl -m u:parfocal:x '/home/me/parfocal'$"
    finds FAIL state '/srv/seen/deep/state: cannot write' "setfacl -m u:parfocal:x '/home/me/kept/deep'$"
    grep -q '^ok    on_burst .*/home/me/photos/hook can be run' out || fail "$(cat out)"
    for check in source outbox state; do
        mend=$check staged "$house"
        ! grep -E "^(FAIL|warn)  *$check " out || fail "$(cat before out)"
    done
    # A link there is its maker's, and leads to what is not to be opened.
    staged "$house; rm -r /home/me/kept/deep; mkdir -m 700 /home/me/secret; ln -s /home/me/secret /home/me/kept/deep"
    ! grep -E -- "-> .*'/home/me(/secret)?'" out || fail 'the home is opened'
}

# It is another place of the machine that is to be written: nothing is made at the name that the service has for it.
test_what_is_bound_from_elsewhere_is_bound_from_there_again()
{
    local house check
    installed 'source = folder:/srv/in' 'outbox = /srv/seen/out' 'state = /srv/seen/own/my state' 'scratch = /srv/seen/fixed/tmp'
    printf '%s\n' 'BindReadOnlyPaths=/srv/data:/srv/seen:rbind' 'TemporaryFileSystem=/srv/seen/own' 'BindPaths=/srv/wide:/srv/seen/fixed:rbind' \
        'ReadOnlyPaths=/srv/seen/fixed/tmp' >>bin/unit
    mkdir -p etc/systemd/system
    house="$service; mkdir -m 755 /srv/in /srv/data /srv/seen /srv/wide /srv/seen/out"
    staged "$house"
    finds FAIL outbox '/srv/seen/out: the service.s unit may read it and not write' \
        "install -d -o parfocal -g 990 '/srv/data/out' && .* 'BindPaths=/srv/data/out:/srv/seen/out' "
    finds FAIL state '/srv/seen/own/my state: the service.s unit has an empty directory there' \
        "install -d -o parfocal -g 990 '/srv/data/own/my state' && .* 'BindPaths=\"/srv/data/own/my state\":\"/srv/seen/own/my state\"' "
    finds warn scratch '/srv/seen/fixed/tmp: the service.s unit may read it' \
        "install -d -o parfocal -g 990 '/srv/wide/tmp' && .* 'ReadWritePaths=/srv/seen/fixed/tmp' "
    for check in outbox state; do
        mend=$check staged "$house"
        grep -q "^ok    $check " out || fail "$(cat before out)"
    done
}

# The unit does not start without it.
test_what_is_bound_and_is_not_there_is_made()
{
    local house check
    installed 'source = folder:/home/me/photos' 'source = camera' 'outbox = /home/me/stacks' 'state = /srv/seen/state' 'spool = /home/me/new/spool' \
        'scratch = /home/me/scratch'
    sed -i 's/^ProtectHome=.*/ProtectHome=tmpfs/' bin/unit
    printf '%s\n' 'BindReadOnlyPaths=/home/me/photos' \
        'BindPaths=/home/me/stacks /home/me/kept:/srv/seen:rbind /home/me/new -/home/me/scratch' >>bin/unit
    house="$service; mkdir -m 700 /home/me"
    staged "$house"
    finds FAIL source '/home/me/photos: No such' "mkdir -p '/home/me/photos'$"
    finds FAIL outbox '/home/me/stacks: the service.s unit binds /home/me/stacks, which is not there' \
        "install -d -o parfocal -g 990 '/home/me/stacks' && systemctl restart parfocal$"
    finds FAIL state '/srv/seen/state: the service.s unit binds /home/me/kept, ' "install -d -o parfocal -g 990 '/home/me/kept' && "
    finds FAIL spool '/home/me/new/spool: the service.s unit binds /home/me/new, ' "install -d -o parfocal -g 990 '/home/me/new' && "
    finds warn scratch '/home/me/scratch: the service.s unit binds /home/me/scratch, ' "install -d -o parfocal -g 990 '/home/me/scratch' && "
    for check in outbox state spool scratch; do
        mend=$check staged "$house"
        ! grep -E "^(FAIL|warn)  *$check .* is not there" out || fail "$(cat before out)"
    done
}

# The service would refuse it. What lies below the mount point is neither looked at nor opened.
test_an_outbox_whose_share_is_not_mounted()
{
    local noted='{"outbox":"/srv/nas/out","mount":"/srv/nas","root":"/","type":"nfs4","source":"house:/stacks"}' house
    need setfacl
    installed 'source = folder:/srv/in' 'outbox = /srv/nas/out/' 'state = /home/me/state'
    printf '%s\n' 'ReadWritePaths=/srv/nas/out' 'BindPaths=/home/me/state' >>bin/unit
    sed -i 's/^ProtectHome=.*/ProtectHome=tmpfs/' bin/unit
    house="$service; mkdir -m 755 /srv/in; mkdir -m 700 /home/me /home/me/state; mkdir -p -m 700 /srv/nas/out
        echo '$noted' >/home/me/state/outbox-mount; chown -R 990:990 /home/me/state"
    staged "$house"
    finds FAIL outbox '/srv/nas/out: /srv/nas is not mounted, on which it was .nfs4, house:/stacks.; .* remove /home/me/state/outbox-mount' \
        "mount '/srv/nas'$"
    [ "$(grep -c '^[a-zA-Z]*  *outbox ' out)" -eq 1 ] || fail "$(cat out)"
    # What fstab has of it is mounted, and then that is looked at.
    echo 'house:/stacks /srv/nas tmpfs noauto,mode=755 0 0' >>etc/fstab
    mend=outbox staged "$house"
    finds FAIL outbox 'cannot write in /srv/nas: Permission denied' "install -d -o parfocal -g parfocal '/srv/nas/out'$"
    # What the unit puts there is not what is mounted here.
    echo 'BindPaths=/home/me/stacks:/srv/nas/out:rbind' >>bin/unit
    staged "$house; mkdir -m 755 /home/me/stacks; chown 990:990 /home/me/stacks"
    grep -q '^ok    outbox ' out || fail "$(cat out)"
    sed -i '/^BindPaths=.*:/d' bin/unit
    # Nor is an empty directory of the unit's own, which the service has noted as a mount.
    sed -i 's/^outbox = .*/outbox = \/var\/tmp\/parfocal-out/' etc/parfocal.conf
    staged "$house
        echo '{\"outbox\":\"/var/tmp/parfocal-out\",\"mount\":\"/var/tmp\",\"root\":\"/var/tmp/systemd-private-1/tmp\",\"type\":\"ext4\",\"source\":\"/dev/sda2\"}' >/home/me/state/outbox-mount"
    finds FAIL outbox '/var/tmp/parfocal-out: the service.s unit has an empty directory of its own there' "BindPaths=/var/tmp/parfocal-out"
    # That it was mounted is of no interest once the machine's is shown there.
    sed -i 's/^outbox = .*/outbox = \/srv\/own\/out/' etc/parfocal.conf
    echo 'TemporaryFileSystem=/srv/own:mode=755' >>bin/unit
    mkdir -p etc/systemd/system
    mend=outbox staged "$house
        echo '{\"outbox\":\"/srv/own/out\",\"mount\":\"/srv/own\",\"root\":\"/\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}' >/home/me/state/outbox-mount"
    grep -q '^FAIL  outbox .*/srv/own/out: the service.s unit has an empty directory there' before || fail "$(cat before)"
    grep -q '^ok    outbox .*/srv/own/out: writable' out || fail "$(cat before out)"
    # For whoever runs it, it is the same.
    mkdir -p state
    echo "${noted/\/srv\/nas\/out/$T/share/out}" | sed "s|/srv/nas\"|$T/share\"|" >state/outbox-mount
    expect_status 1 "$PARFOCAL" doctor --outbox share/out --state state
    finds FAIL outbox "$T/share/out: $T/share is not mounted" "mount '$T/share'$"
}

# What is not there is made before the unit is to show it, and before anybody is let through to it.
test_what_the_unit_would_hide_is_made_first()
{
    installed 'source = folder:/home/me/inbox' 'outbox = /srv/parfocal/outbox' 'state = /srv/parfocal/state' \
        'on_burst = /home/me/hook'
    staged "$service; mkdir -m 700 /home/me"
    finds FAIL source '/home/me/inbox: No such file' "mkdir -p '/home/me/inbox'$"
    finds FAIL on_burst '/home/me/hook is not there' "ls -l '/home/me/hook'$"
    mend=source staged "$service; mkdir -m 700 /home/me"
    finds FAIL source '/home/me/inbox: the service.s unit may not look there' 'ProtectHome=tmpfs .BindReadOnlyPaths=/home/me/inbox'
}

# The doctor, which is not in it, would reach them.
test_whom_the_unit_does_not_let_it_reach()
{
    local check
    installed 'source = folder:/srv/in' 'outbox = /srv/parfocal/outbox' 'state = /srv/parfocal/state' \
        'on_burst = https://hook.example/hook/key' 'on_burst = http://10.0.0.9:8080/near' 'on_failure = http://[2001:db8::7]/' \
        'on_stop = http://near.example' 'mqtt = broker.example:8883'
    printf '%s\n' '203.0.113.7 hook.example' '2001:db8::1 hook.example' '203.0.113.9 broker.example' '192.168.1.9 near.example' >>etc/hosts
    printf '%s\n' 'IPAddressAllow=127.0.0.0/8 ::1/128 169.254.0.0/16 fe80::/64 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7' \
        'IPAddressDeny=0.0.0.0/0 ::/0' >>bin/unit
    mkdir -p etc/systemd/system
    local house="$service; mkdir -m 755 /srv/in"
    staged "$house"
    finds warn on_burst 'https://hook.example/hook/… is at .*203.0.113.7.*, which the service.s unit does not let it reach' \
        "printf .*'\[Service\]' 'IPAddressAllow=.*203.0.113.7.*' >>/etc/systemd/system/parfocal.service.d/network.conf && .* # or any"
    grep -q 'hook.example/.* is at .*2001:db8::1' out || fail "$(cat out)"
    finds warn on_failure ' is at 2001:db8::7, ' "'IPAddressAllow=2001:db8::7'"
    finds warn mqtt 'broker.example:8883 is at 203.0.113.9, ' "'IPAddressAllow=203.0.113.9'"
    grep -q '^ok    on_burst  *http://10.0.0.9:8080/near: ' out && grep -q '^ok    on_stop  *http://near.example: near.example is known' out ||
        fail "$(cat out)"
    for check in on_burst on_failure; do
        mend=$check staged "$house"
        grep -q "^warn  $check .*let it reach" before && ! grep "^warn  $check .*let it reach" out || fail "$(cat before out)"
    done
    # What is not denied needs no leave, and the unit is not that of whoever names other options.
    sed -i 's/^IPAddressDeny=.*/IPAddressDeny=203.0.113.9\/32/' bin/unit
    rm -r etc/systemd/system/parfocal.service.d
    staged "$house"
    [ "$(grep -c 'let it reach' out)" -eq 1 ] && grep -q '^warn  mqtt .*let it reach' out || fail "$(cat out)"
    staged "$house" --on-failure 'http://203.0.113.9/'
    ! grep 'let it reach' out || fail "$(cat out)"
}

test_the_service_has_a_camera_looked_for_by_root()
{
    need sleep setpriv
    installed 'source = camera' 'spool = /srv/parfocal/spool' 'outbox = /srv/parfocal/outbox' 'state = /srv/parfocal/state'
    at_end end_holders
    cp "$(command -v sleep)" gvfsd-gphoto2
    staged "$service; $camera; cp gvfsd-gphoto2 /srv
        setpriv --reuid 65534 --clear-groups /srv/gvfsd-gphoto2 60 7<>/dev/bus/usb/001/007 & $(holds /srv/gvfsd-gphoto2)"
    # It is somebody's desktop that would start it again.
    finds warn camera 'Fine Camera at /dev/bus/usb/001/007 is held by gvfsd-gphoto2' \
        "systemctl --user -M nobody@ mask --now gvfs-gphoto2-volume-monitor; kill $(cat holder)"
    finds warn camera 'Fine Camera at /dev/bus/usb/001/007: parfocal may not use it' \
        'adduser parfocal plugdev && .* && systemctl restart parfocal'
    staged "$service; $camera; chown :plugdev /dev/bus/usb/001/007; chmod 660 /dev/bus/usb/001/007
        sed -i 's/^plugdev:.*/&parfocal/' /etc/group"
    ! grep -q 'may not use it' out || fail "$(cat out)"
}
