#!/bin/sh
# Says when the libevent that is built with lacks the fixes of Debian's security update: eight in its HTTP
# server, which the page and the API are made of.
fixed=2.1.12-stable-8+deb12u1
command -v dpkg-query >/dev/null && command -v dpkg >/dev/null || exit 0
version=$(dpkg-query -W -f '${Version}' libevent-dev 2>/dev/null) && [ -n "$version" ] || exit 0
dpkg --compare-versions "$version" lt "$fixed" || exit 0
echo "warning: libevent $version is older than $fixed, which has fixes;" \
    "apt-get update && apt-get install --only-upgrade libevent-dev (bookworm-security)" >&2
