# Makes tests/torture/TORTURE.md anew from itself and from what a run has left (tests/torture/run):
#
#   awk -v about="COMMIT, DATE, SEED" -v whole=1 -v took=MINUTES -f table.awk \
#       file=1 TESTS file=2 RESULTS file=3 ROWS file=4 TORTURE.md
#
#   TESTS    "NAME 1" of each test there is, in the order of the table; "NAME 0" of one that was not asked for
#   RESULTS  the lines "ok NAME", "FAIL NAME: why" and "skip NAME: why"
#   ROWS     "NAME<tab>failure | rounds | lost | twice | time to recover" of add_line
#
# A row has the name of its test and what run it is of. One of a test that was asked for is always of this
# run, whatever came of it; one of another stays. The line that begins with "Last run as a whole: " is this
# run's where `whole` is set.
file == 1 { order[++tests] = $1; wanted[$1] = $2; next }
file == 2 && /^(ok|FAIL|skip) / {
    name = $2
    sub(/:$/, "", name)
    why = $0
    sub(/^[^:]*: */, "", why)
    gsub(/\|/, "/", why)
    if ($1 == "ok")
        result[name] = "ok"
    else
        result[name] = ($1 == "FAIL" ? "FAILED: " : "did not run: ") why
    next
}
file == 3 {
    at = index($0, "\t")
    name = substr($0, 1, at - 1)
    fresh[name, ++count[name]] = substr($0, at + 1)
    next
}
file < 4 { next }

/^Last run as a whole: / && whole {
    for (i = 1; i <= tests; i++) {
        how = outcome(order[i])
        if (how == "ok")
            passed++
        else if (how ~ /^FAILED/)
            failed = failed (failed ? ", " : "") order[i]
        else
            absent = absent (absent ? ", " : "") order[i]
    }
    printf "Last run as a whole: %s, %d minutes. Passed: %d; FAILED: %s; did not run: %s.\n", about, took,
        passed, failed ? failed : "none", absent ? absent : "none"
    next
}
/^\| failure / { print; in_table = 1; next }
in_table && /^\|---/ { print; next }
in_table && /^\|/ {
    split($0, cell, / *\| */)
    name = cell[3]
    gsub(/`/, "", name)
    old[name, ++olds[name]] = $0
    if (!(name in title)) {
        title[name] = cell[2]
        sub(/ \(.*/, "", title[name])
    }
    next
}
in_table { finish() }
{ print }
END { if (in_table) finish() }

function outcome(name)
{
    return name in result ? result[name] : "FAILED: it has said nothing"
}

function row(name, cells, of,    part)
{
    split(cells, part, / *\| */)
    printf "| %s | `%s` | %s | %s | %s | %s | %s |\n", part[1], name, part[2], part[3], part[4], part[5], of
}

function finish(    i, j, name, how, cells)
{
    in_table = 0
    for (i = 1; i <= tests; i++) {
        name = order[i]
        how = outcome(name)
        if (!wanted[name]) {
            for (j = 1; j <= olds[name]; j++)
                print old[name, j]
            if (!olds[name])
                row(name, words(name) " | - | - | - | has not run yet", "-")
        } else if (how == "ok" && count[name]) {
            for (j = 1; j <= count[name]; j++)
                row(name, fresh[name, j], about)
        } else if (how == "ok") {
            row(name, (name in title ? title[name] : words(name)) " | - | - | - | -", about)
        } else {
            # What it has counted before it failed, if it came so far.
            if (!count[name])
                fresh[name, ++count[name]] = (name in title ? title[name] : words(name)) " | - | - | - | -"
            for (j = 1; j <= count[name]; j++) {
                cells = fresh[name, j]
                row(name, substr(cells, 1, match(cells, /\|[^|]*$/)) " " how, about)
            }
        }
    }
}

function words(name)
{
    gsub(/_/, " ", name)
    return name
}
