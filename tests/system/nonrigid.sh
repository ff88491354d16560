#!/bin/bash
# Non-rigid alignment through the programs: a series of one focus that deforms, with known truth; what
# the worker says meanwhile; an elastix that is missing, slow, or left alone.
# not under a sanitizer: what it runs, test_nonrigid does, and elastix is not ours
. "${BASH_SOURCE%/*}/lib.sh"

# Four sharp frames, the last one deformed by up to 5 px.
series()
{
    "$GENERATE" --out "$T/frames" --width 480 --height 360 --frames 4 --blur 0 --deform 5 \
        --no-truth-pictures "$@"
    frames=("$T"/frames/IMG_*.jpg)
}

# Mean error in px over the cells' centres, of the frame that is worst; beside the truth, or what else was found.
error_px() # FOUND [OTHER]
{
    jq -n --slurpfile truth "${2:-$T/frames/truth.json}" --slurpfile found "$1" '
        def at($h; $x; $y): ($h[6] * $x + $h[7] * $y + $h[8]) as $w |
            [($h[0] * $x + $h[1] * $y + $h[2]) / $w, ($h[3] * $x + $h[4] * $y + $h[5]) / $w];
        def cell($i): [(($i % 16) + 0.5) * 480 / 16 - 0.5, (($i / 16 | floor) + 0.5) * 360 / 16 - 0.5];
        def grid: (.displacement | if type == "object" then .grid else . end) // [];
        def place($f; $d; $i): cell($i) as $r | at($f.transform; $r[0]; $r[1]) |
            [.[0] + ($d[$i][0] // 0), .[1] + ($d[$i][1] // 0)];
        [range(1; 4) as $k | $truth[0].frames[$k] as $t | $found[0].frames[$k] as $f |
            [range(256) as $i | place($t; $t | grid; $i) as $a | place($f; $f | grid; $i) as $b |
             (pow($a[0] - $b[0]; 2) + pow($a[1] - $b[1]; 2)) | sqrt] | add / length] | max'
}

deformation_is_found_by()
{
    series --seed 3
    expect_status 0 "$PARFOCAL" stack "${frames[@]}" -o "$T/ecc.tif" --align ecc --json
    mv "$T/out" "$T/ecc.json"
    expect_status 0 "$PARFOCAL" stack "${frames[@]}" -o "$T/stack.tif" --align "$1" --fuse average --json
    jq -e --arg by "$1" '.fused == 4 and .settings.align == $by and
        ([.frames[1:][] | .aligned_by == $by and .displacement.most_px > 0.5] | all) and
        .frames[0].displacement == null' "$T/out" >/dev/null || fail "$(cat "$T/out")"
    local found rigid
    found=$(error_px "$T/out") rigid=$(error_px "$T/ecc.json")
    echo "worst frame: $found px, rigid $rigid px"
    jq -ne "$found < 0.15 and $rigid > 1" >/dev/null || fail "off by $found px, rigid by $rigid px"
}

test_flow_finds_a_known_deformation()
{
    deformation_is_found_by flow
}

test_bspline_finds_a_known_deformation()
{
    need elastix
    deformation_is_found_by bspline
}

# A method of its own each; a GPU of fibers here.
test_bspline_of_a_gpu_finds_what_elastix_finds()
{
    need elastix
    series --seed 3
    expect_status 0 "$PARFOCAL" stack "${frames[@]}" -o "$T/stack.tif" --align bspline --json --device cpu
    mv "$T/out" "$T/elastix.json"
    expect_status 0 "$BUILD/tests/parfocal-on-fibers" stack "${frames[@]}" -o "$T/stack.tif" --align bspline --json \
        --device cuda
    jq -e '.fused == 4 and .engine.device == "cuda" and ([.frames[1:][] | .aligned_by == "bspline"] | all)' \
        "$T/out" >/dev/null || fail "$(cat "$T/out")"
    local elastix gpu apart
    elastix=$(error_px "$T/elastix.json") gpu=$(error_px "$T/out") apart=$(error_px "$T/out" "$T/elastix.json")
    echo "worst frame: elastix $elastix px, GPU $gpu px, $apart px from one another"
    jq -ne "$gpu <= 0.10 and $apart < 0.15" >/dev/null || fail "off by $gpu px, $apart px from elastix"
}

test_without_elastix_frames_are_set_aside_with_the_reason_and_doctor_says_so()
{
    series
    mkdir empty
    status=0
    PATH=$T/empty "$PARFOCAL" stack "${frames[@]}" -o "$T/stack.tif" --align bspline >out 2>err || status=$?
    [ $status = 1 ] || fail "status $status"
    grep -q "IMG_0002.jpg: cannot be aligned: elastix is not installed" err || fail "$(cat err)"
    grep -q "no stack: 1 of 4 frames" err || fail "$(cat err)"
    mkdir in
    PATH=$T/empty "$PARFOCAL" doctor --source "folder:$T/in" --align bspline >out 2>&1 || true
    grep -q "not installed, and --align bspline needs it" out || fail "$(cat out)"
    PATH=$T/empty "$PARFOCAL" doctor --source "folder:$T/in" >out 2>&1 || true
    grep -q "not installed; only --align bspline needs it" out || fail "$(cat out)"
}

# The worker by hand: says that it warms up, then iterations of each frame, then the frame.
test_the_worker_tells_its_progress()
{
    need elastix
    series
    {
        echo '{"cmd":"open","burst":"b"}'
        for i in 0 1 2 3; do
            printf '{"cmd":"add","burst":"b","frame":"f%d","path":"%s"}\n' "$i" "${frames[i]}"
        done
        echo '{"cmd":"drop","burst":"b"}'
    } >commands
    TMPDIR=$T "$PARFOCAL" process --align bspline <commands >events 2>err || fail "$(cat err)"
    jq -se '(map(.event) | index("warming")) < (map(.event) | index("ready"))' events >/dev/null ||
        fail "no warming before ready: $(cut -c1-300 events)"
    for i in 1 2 3; do
        jq -se --arg f "f$i" 'map(select(.frame == $f) | .event) as $e |
            ($e | index("progress")) != null and $e[-1] == "frame" and
            (map(select(.frame == $f and .event == "progress")) |
             all(.burst == "b" and .step == "bspline" and .iteration > 0 and .of > 100 and .metric < 0))' \
            events >/dev/null || fail "f$i: $(cut -c1-300 events)"
    done
    ls -d "$T"/parfocal-elastix-* 2>/dev/null && fail "files are left"
    return 0
}

# An elastix that never ends: it dies with the worker that was killed, and what that has left is
# removed by the next one.
test_elastix_dies_with_the_worker_and_its_files_go()
{
    series
    mkdir bin tmp
    printf '#!/bin/sh\necho $$ >%s/pid.part\nmv %s/pid.part %s/pid\nexec sleep 300\n' "$T" "$T" "$T" >bin/elastix
    chmod +x bin/elastix
    mkfifo commands
    PATH=$T/bin:$PATH TMPDIR=$T/tmp start worker sh -c "exec '$PARFOCAL' process --align bspline <commands"
    exec 7>commands
    wait_for 20 test -e pid
    ls -d tmp/parfocal-elastix-* >/dev/null || fail "no files"
    kill -KILL "$started"
    wait_for 20 sh -c "! kill -0 $(cat pid) || grep -q ') Z' /proc/$(cat pid)/stat"
    exec 7>&-
    printf '#!/bin/sh\nexit 1\n' >bin/elastix
    PATH=$T/bin:$PATH TMPDIR=$T/tmp "$PARFOCAL" process --align bspline </dev/null >events 2>err
    grep -q "align = bspline will set frames aside: elastix failed with status 1" err || fail "$(cat err)"
    ls -d tmp/parfocal-elastix-* 2>/dev/null && fail "files are left"
    return 0
}

test_interrupted_stack_leaves_no_files_and_no_elastix()
{
    series --frames 2
    mkdir bin tmp
    printf '#!/bin/sh\necho $$ >%s/pid.part\nmv %s/pid.part %s/pid\nexec sleep 300\n' "$T" "$T" "$T" >bin/elastix
    chmod +x bin/elastix
    PATH=$T/bin:$PATH TMPDIR=$T/tmp start stack "$PARFOCAL" stack "${frames[@]}" -o "$T/stack.tif" --align bspline
    wait_for 20 test -e pid
    ls -d tmp/parfocal-elastix-* >/dev/null || fail "no files"
    stop stack INT
    [ "$stopped" = 130 ] || fail "status $stopped"
    kill -0 "$(cat pid)" 2>/dev/null && fail "elastix goes on"
    ls -d tmp/parfocal-elastix-* stack.tif* 2>/dev/null && fail "files are left"
    return 0
}

# Through the service: a slow elastix costs frames, not the burst, and the log says how far it is.
test_serve_goes_on_when_elastix_is_too_slow()
{
    series
    mkdir bin in
    printf '#!/bin/sh\nprintf "1:ItNr\\t2:Metric\\n0\\t-0.5\\n"\nexec sleep 300\n' >bin/elastix
    chmod +x bin/elastix
    PATH=$T/bin:$PATH TMPDIR=$T start serve "$PARFOCAL" serve --source "folder:$T/in" \
        --outbox "$T/outbox" --state "$T/state" --align bspline --align-timeout 0.3 --gap 1 \
        --settle 0 --log-level debug
    wait_for 30 grep -q "worker ready" serve.err
    grep -q "worker: warming up elastix: iteration 1" serve.err || fail "$(cat serve.err)"
    grep -q "align = bspline will set frames aside: elastix took longer than 0.3 s" serve.err ||
        fail "$(cat serve.err)"
    cp "${frames[@]}" in/
    wait_for 60 grep -q "failed: only 1 of 4 frames could be used" serve.err
    grep -q "IMG_0002.jpg: bspline: iteration 1 of at most" serve.err || fail "$(cat serve.err)"
    grep -q "set aside: cannot be aligned: elastix took longer than 0.3 s" serve.err || fail "$(cat serve.err)"
    stop serve
    [ "$stopped" = 0 ] || fail "status $stopped"
}
