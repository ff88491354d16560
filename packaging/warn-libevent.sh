#!/bin/sh
# Says when the libevent that is built with lacks the fixes of its distribution's security update, most of them in
# its HTTP server, which the page and the API are made of. Debian's has eight; Ubuntu 22.04's has all but that of
# CVE-2026-63379, which is about chunked requests, and none of those gets as far (service/http/guard.h).
#
#   packaging/warn-libevent.sh [--least]      --least: prints the first version that has them, and nothing else
#
# service/doctor_machine.c knows the same two versions.
fixed=2.1.12-stable-8+deb12u1 updates=bookworm-security
version=$(dpkg-query -W -f '${Version}' libevent-dev 2>/dev/null) || version=
case $version in *ubuntu* | *build*) fixed=2.1.12-stable-1ubuntu0.2 updates=jammy-security ;; esac
[ "${1:-}" != --least ] || { echo "$fixed"; exit; }
[ -n "$version" ] && command -v dpkg >/dev/null || exit 0
dpkg --compare-versions "$version" lt "$fixed" || exit 0
echo "warning: libevent $version is older than $fixed, which has fixes;" \
    "apt-get update && apt-get install --only-upgrade libevent-dev ($updates)" >&2
