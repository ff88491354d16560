#!/bin/bash
# Writes the C source that holds the page (service/page.h): embed-page.sh FILE... >page_files.c
#
# Each file becomes its gzip, and a row with its path in URLs, its type and its ETag, which is taken
# from the content. Nothing depends on time or place: the same files make the same source.
set -eu -o pipefail

type_of()
{
    case $1 in
    *.html) echo 'text/html; charset=utf-8' ;;
    *.css) echo 'text/css; charset=utf-8' ;;
    *.js) echo 'text/javascript; charset=utf-8' ;;
    *.svg) echo 'image/svg+xml' ;;
    *.webmanifest) echo 'application/manifest+json' ;;
    *)
        echo "embed-page.sh: $1: of no type that is known" >&2
        return 1
        ;;
    esac
}

printf '#include "service/page.h"\n'
rows='' count=0
for file; do
    name=/${file##*/}
    [ "$name" != /index.html ] || name=/
    type=$(type_of "$file")
    sum=$(sha256sum <"$file")
    printf '\nstatic const unsigned char file_%d[] = {\n' $count
    gzip -9nc <"$file" | od -An -v -tu1 | sed 's/ *\([0-9]\+\)/\1,/g'
    printf '};\n'
    rows+=$(printf '    {"%s", "%s", "\\"%s\\"", file_%d, sizeof(file_%d)},' \
        "$name" "$type" "${sum:0:16}" $count $count)$'\n'
    count=$((count + 1))
done
printf '\nconst struct pf_page_file pf_page_files[] = {\n%s};\n' "$rows"
printf 'const size_t pf_page_file_count = %d;\n' $count
