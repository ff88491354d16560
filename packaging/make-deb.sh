#!/bin/bash
# `make deb`: the Debian package of this tree.
#
#   packaging/make-deb.sh DIR BUILD_PACKAGES...     the package is left in DIR
#
# The files that git knows, or would take, are copied, debian/ is put where its tools look for it, and
# dpkg-buildpackage does the rest. The version is that of packaging/debian/changelog; between two of
# those the commit is added to it.
set -eu
cd "${BASH_SOURCE%/*}/.."
dir=$1
shift
version=$(dpkg-parsechangelog -l packaging/debian/changelog -S Version)
commit=$(git rev-parse --short=7 HEAD 2>/dev/null || true)
seconds=$(git log -1 --format=%ct 2>/dev/null || date +%s)
if [ -n "$commit" ] && ! git describe --exact-match --match "v$version" >/dev/null 2>&1; then
    version=$version+git$(date -u -d "@$seconds" +%Y%m%d%H%M).$commit
fi

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
tree=$dir/parfocal-$version
rm -rf "$dir"/parfocal-*/ "$dir"/*.deb "$dir"/*.buildinfo "$dir"/*.changes
mkdir "$tree"
if [ -n "$commit" ]; then
    git ls-files -z --cached --others --exclude-standard |
        while IFS= read -rd '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
        tar -c --null -T - | tar -x -C "$tree"
else
    tar -c --exclude=./build --exclude=./.git . | tar -x -C "$tree"
fi
mv "$tree/packaging/debian" "$tree/debian"
printf -v needs ' %s,\n' "$@"
needs=${needs# }
needs=${needs%,$'\n'}
awk -v needs="${needs//$'\n'/\\n}" -v libevent="$(packaging/warn-libevent.sh --least)" \
    '{ gsub(/@BUILD@/, needs); gsub(/@LIBEVENT@/, libevent) } 1' "$tree/debian/control" >"$dir/control"
mv "$dir/control" "$tree/debian/control"
cp packaging/parfocal.sysusers "$tree/debian/"
{
    printf 'parfocal (%s) unstable; urgency=medium\n\n  * Built from the tree%s.\n\n' \
        "$version" "${commit:+ at $commit}"
    printf ' -- %s  %s\n\n' "$(sed -n 's/^Maintainer: //p' "$tree/debian/control")" \
        "$(date -uR -d "@$seconds")"
    cat packaging/debian/changelog
} >"$tree/debian/changelog"

log=$dir/build.log
echo "building the package parfocal $version (what it says goes to $log)"
# Compilers of ours (ccache) and settings of this call do not count: the package is the same anywhere.
if ! (cd "$tree" && env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u CFLAGS SOURCE_DATE_EPOCH="$seconds" \
    CUDA="${CUDA:-auto}" dpkg-buildpackage -us -uc -b ${DPKG_FLAGS:-}) >"$log" 2>&1 </dev/null; then
    tail -n 30 "$log"
    echo "the package could not be built"
    exit 1
fi
rm -rf "$tree"
ls -l "$dir"/parfocal_*.deb
lintian --allow-root --tag-display-limit 0 --fail-on error,warning "$dir"/parfocal_*.deb
