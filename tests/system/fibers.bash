# A program whose GPU is of fibers; it does as the environment says (tests/cuda/fibers_environment.cpp).
PARFOCAL=$BUILD/tests/parfocal-on-fibers

need_fibers()
{
    [ -x "$PARFOCAL" ] || skip "fibers and $SAN do not go together"
}

# Stacks of burst/ one after the other, in one worker; what it took of the GPU's memory is in $taken.
stack_times()
{
    local i frame frames=("$PWD"/burst/*.jpg)
    for ((i = 0; i < $1; i++)); do
        printf '{"cmd":"open","burst":"b%d"}\n' $i
        for frame in "${frames[@]}"; do
            printf '{"cmd":"add","burst":"b%d","frame":"%s","path":"%s"}\n' $i "${frame##*/}" "$frame"
        done
        printf '{"cmd":"drop","burst":"b%d"}\n' $i
    done >commands
    FIBERS_ACCOUNT=$PWD/account "$PARFOCAL" process <commands >out 2>err || fail "$(cat err)"
    [ "$(grep -c '"verdict": *"fused"' out)" -eq $((${#frames[@]} * $1)) ] || fail "$(cat out)"
    read -r taken left _ <account
    [ "$left" -eq 0 ] || fail "$left bytes of the GPU were not given back"
}
