# Of a trace by strace -f -y (mkdir, rename and its kin, fsync and its kin), and the directories that were
# published, those that were not safe: a file in them whose sync had failed since the attempt began, or a name
# that no sync of the outbox has made durable.
#
#   awk -f syncs.awk TRACE PUBLISHED       PUBLISHED: one directory a line
FILENAME != file { file = FILENAME; files++ }
files == 2 {
    if ($0 in broken)
        print $0 ": " broken[$0]
    else if ($0 in pending)
        print $0 ": its name is not durable"
    next
}
{ pid = $1 }
/<unfinished \.\.\.>/ {
    begun[pid] = $0
    sub(/ *<unfinished \.\.\.>.*/, "", begun[pid])
    next
}
/<\.\.\. [a-z0-9_]+ resumed>/ {
    rest = $0
    sub(/^.*resumed>/, "", rest)
    $0 = begun[pid] rest
    delete begun[pid]
}
/ mkdir(at)?\(.*\.partial"/ && / = 0$/ { delete failed[name_of($0, 1)] }
/ rename(at2?)?\(/ && / = 0$/ {
    from = name_of($0, 1)
    to = name_of($0, 2)
    if (from ~ /\.partial$/) {
        pending[to]
        if (from in failed)
            broken[to] = failed[from]
        else
            delete broken[to]
    } else if (to ~ /\.partial$/) {
        delete pending[from]
        delete broken[from]
    }
}
/ (fsync|fdatasync|sync_file_range)\([0-9]+</ {
    path = $0
    sub(/^[^<]*</, "", path)
    sub(/>.*/, "", path)
    directory = path
    sub(/\/[^\/]*$/, "", directory)
    if (/ = -1 /) {
        if (directory ~ /\.partial$/ && !/sync_file_range/)
            failed[directory] = "the sync of " path " had failed"
    } else if (path ~ /\/outbox$/) {
        for (to in pending)
            delete pending[to]
    }
}

function name_of(line, which,    part)
{
    split(line, part, "\"")
    return part[2 * which]
}
