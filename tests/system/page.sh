#!/bin/bash
# The page in a real browser: what a photographer sees and does while a burst is being shot.
# time limit: 400
# SHOTS=DIR keeps a picture of each view, to be looked at.
# not under a sanitizer: what it asks of the program the tests of http do, too
. "${BASH_SOURCE%/*}/lib.sh"
. "${BASH_SOURCE%/*}/serve.bash"
. "${BASH_SOURCE%/*}/camera.bash"
. "${BASH_SOURCE%/*}/browser.bash"

FIRST_LOAD_MAX=150000

# serve_page [OPTIONS]: the service with its page on a port that the kernel chooses; $PAGE
serve_page()
{
    serve --http 127.0.0.1:0 "$@"
    await_log 'http: http://127'
    PAGE=$(sed -n 's|.*http: \(http://127[^ ]*\)/$|\1|p' "$T/service.err" | tail -n 1)
    await_log 'worker ready'
}

look() # NAME: a picture of what is seen now
{
    [ -z "${SHOTS:-}" ] || browser_shot "$SHOTS/$1.png"
}

# The button with this label is pressed, as a mouse does.
press()
{
    browser_is 'for (const b of document.querySelectorAll("[data-pressed]")) b.removeAttribute("data-pressed");
        const all = [...document.querySelectorAll("dialog[open] button, button")];
        const one = all.find((b) => b.textContent.trim() === "'"$1"'" && b.offsetParent !== null && !b.disabled);
        one?.setAttribute("data-pressed", "");
        return Boolean(one)' || fail "there is no button $1"
    browser_click '[data-pressed]'
}

await_text() # SECONDS TEXT
{
    browser_await "$1" 'return document.body.innerText.includes("'"$2"'")'
}

# What everybody can do with a page: controls have names, pictures have texts, words can be read against
# what is behind them, nothing is wider than the window.
check_access()
{
    local found
    found=$(browser_js '
        const said = [], seen = (e) => e.offsetParent !== null || e.getClientRects().length > 0;
        const name = (e) => e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.textContent.trim() ||
            (e.labels && [...e.labels].map((l) => l.textContent).join("")) || e.title;
        for (const e of document.querySelectorAll("button, a[href], input, select, [role=slider], [role=option], [role=img], [tabindex=\"0\"]"))
            if (seen(e) && !name(e)) said.push("no name: " + e.outerHTML.slice(0, 120));
        for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt")) said.push("no alt: " + e.src);
        const rgb = (text) => { const m = text.match(/[\d.]+/g).map(Number); return [m[0], m[1], m[2], m[3] ?? 1]; };
        const light = ([r, g, b]) => { const f = [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
        const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        for (let t; (t = walk.nextNode());) {
            const e = t.parentElement;
            if (!t.textContent.trim() || !seen(e) || e.closest(".unseen, svg, [disabled], option, noscript")) continue;
            let ground = [11, 12, 14, 1];
            for (let up = e, layers = []; up; up = up.parentElement) {
                const c = rgb(getComputedStyle(up).backgroundColor);
                if (c[3] > 0) layers.push(c);
                if (c[3] === 1 || !up.parentElement) {
                    for (const l of layers.reverse()) ground = ground.map((v, i) => i < 3 ? v * (1 - l[3]) + l[i] * l[3] : 1);
                    break;
                }
            }
            const a = light(rgb(getComputedStyle(e).color)), b = light(ground);
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) said.push(ratio.toFixed(2) + ": " + t.textContent.slice(0, 40));
        }
        const wide = document.documentElement.scrollWidth - window.innerWidth;
        if (wide > 0) said.push("wider than the window by " + wide);
        const within = document.getElementById("pills").getBoundingClientRect();
        for (const e of document.querySelectorAll(".pill")) {
            const r = e.getBoundingClientRect();
            if (seen(e) && (r.left < within.left - 1 || r.right > within.right + 1 || e.scrollWidth > e.clientWidth + 1))
                said.push("cut off: " + e.textContent);
        }
        return said.join("\n")' | jq -r .)
    [ -z "$found" ] || fail "$1: $found"
}

no_errors()
{
    local errors
    errors=$(browser_errors)
    [ -z "$errors" ] || fail "the console says: $errors"
}

# ---- the whole way of a burst

make_bracket() # a burst with a skipped plane, and a name that would be markup
{
    "$GENERATE" --out burst --no-truth --scene textured --width 768 --height 512 --frames 10 \
        --interval 0.2 --make OLYMPUS --model E-M1X
    rm burst/IMG_0005.jpg burst/IMG_0006.jpg
    hostile='IMG_0008<img src=x onerror=alert(1)>.jpg'
    mv burst/IMG_0008.jpg "burst/$hostile"
}

fused_are() # N
{
    browser_await 40 "return document.querySelectorAll('.frame.good').length >= $1"
}

watch_it_arrive()
{
    local file n=0
    browser_go "$PAGE"
    await_text 20 'Waiting for the first frame'
    look empty
    check_access empty
    [ "$(browser_js 'return performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
        .filter((e) => !e.name.includes("/events")).reduce((sum, e) => sum + e.transferSize, 0)')" -lt $FIRST_LOAD_MAX ] ||
        fail "the first load is too large"
    for file in burst/*.jpg; do
        drop "$file"
        n=$((n + 1))
        # With each frame the picture is another one, and all of it is there.
        browser_await 40 'const b = [...document.querySelectorAll(".layer-a .base")].pop();
            if (document.querySelectorAll(".frame.good").length < '$n' || !b || !b.naturalWidth ||
                !b.src.includes("preview") || b.src === window.before) return false;
            window.before = b.src;
            return true'
    done
    browser_is 'return document.querySelectorAll(".plot .dot.good").length === 8' || fail "the curve lacks frames"
    browser_await 10 'return [...document.querySelectorAll(".frame img")].length === 8 &&
        [...document.querySelectorAll(".frame img")].every((i) => i.naturalWidth > 0)'
    browser_await 5 'return /^\d+ %$/.test(document.querySelectorAll(".card .big")[1].textContent)'
    await_text 5 'skipped between IMG_0004 and IMG_0007'
    browser_is 'return /^[12] planes?$/.test(document.querySelectorAll(".card .big")[2].textContent)' || fail "nothing is missing"
    browser_is 'return window.spoken.some((t) => t.startsWith("A focal plane was skipped between IMG_0004 and IMG_0007"))' ||
        fail "the skipped plane was not read aloud: $(browser_js 'return window.spoken.join("; ")')"
    browser_is 'return /^\d+ s$/.test(document.querySelectorAll(".card .big")[3].textContent)' || fail "no countdown"
    browser_is 'return document.querySelectorAll(".frame img[src=x], script:not([src])").length === 0 &&
        [...document.querySelectorAll(".frame")].some((f) => f.title.includes("<img src=x"))' || fail "a name became markup"
    look live
    check_access live
}

compare_by_keys()
{
    browser_js 'document.activeElement.blur(); window.scrollTo(0, 0)' >/dev/null
    browser_keys c
    browser_await 10 'return document.querySelector(".wipe").offsetParent !== null && document.activeElement.className === "wipe"'
    browser_keys ArrowLeft ArrowLeft
    browser_is 'return document.querySelector(".wipe").getAttribute("aria-valuenow") === "46"' || fail "the wipe does not move"
    press '1:1'
    await_text 5 '100 %'
    browser_js 'document.querySelector(".viewer").focus()' >/dev/null
    browser_keys + + # more than the preview has: tiles of both
    browser_await 20 'return ["a", "b"].every((l) => { const tiles = [...document.querySelectorAll(`.layer-${l} .tile`)];
        return tiles.length > 0 && tiles.every((t) => t.complete && t.naturalWidth > 0); })'
    look compare
    press Fit
    browser_js 'document.activeElement.blur()' >/dev/null
    browser_keys c
}

look_at_maps()
{
    local mode
    for mode in depth winner; do
        browser_keys "${mode:0:1}"
        browser_await 20 'const b = [...document.querySelectorAll(".layer-a .base")].pop();
            return Boolean(b) && b.naturalWidth > 0 && b.src.includes("/maps/'$mode'")'
        look $mode
    done
    browser_keys s
}

test_page_from_the_first_frame_to_the_restack()
{
    local size
    need_browser
    mkdir_inbox
    make_bracket
    serve_page --gap 100
    browser_start 1440 900
    browser_cdp Page.addScriptToEvaluateOnNewDocument "$(jq -nc '{source: "window.spoken = [];
        addEventListener(\"DOMContentLoaded\", () => new MutationObserver((all) => { for (const m of all)
            for (const n of m.addedNodes) window.spoken.push(n.textContent); })
            .observe(document.getElementById(\"urgent\"), {childList: true}));"}')" >/dev/null
    watch_it_arrive

    press 'Finish now'
    browser_await 40 'return document.querySelectorAll(".card .big")[3].textContent === "Ready"'
    browser_await 10 'return document.querySelectorAll(".files a").length >= 3'
    size=$(browser_js 'return fetch(document.querySelector(".files a").href).then((r) => r.arrayBuffer()).then((b) => b.byteLength)')
    [ "$size" -eq "$(stat -c %s "$(published)/stack.tif")" ] || fail "what is downloaded has $size bytes"
    look ready
    compare_by_keys
    look_at_maps

    # One is left out: a second version without it; and another way of fusing: a third.
    browser_click '.frame:nth-child(2)'
    await_text 5 'Discard frame'
    press 'Discard frame'
    browser_await 40 'return document.querySelectorAll(".card .sub")[3].textContent.startsWith("version 2")'
    check "$(published | tail -n 1)/stack.json" '.version == 2 and .fused == 7'
    press 'Restack with…'
    browser_await 10 'return Boolean(document.querySelector("dialog select[name=fuse]"))'
    look restack
    check_access restack
    browser_js 'document.querySelector("dialog select[name=fuse]").value = "average"' >/dev/null
    press Restack
    browser_await 40 'return document.querySelectorAll(".card .sub")[3].textContent.startsWith("version 3")'
    check "$(published | tail -n 1)/stack.json" '.version == 3 and .settings.fuse == "average"'

    browser_keys 2
    browser_await 10 'return document.querySelectorAll(".burst-card").length === 1'
    browser_await 10 'return [...document.querySelectorAll(".burst-card img")].every((i) => i.naturalWidth > 0)'
    look history
    check_access history
    browser_js 'const i = document.querySelector("input[name=camera]"); i.value = "nikon"; i.dispatchEvent(new Event("input", {bubbles: true}))' >/dev/null
    await_text 10 'No burst is like that'
    browser_js 'const i = document.querySelector("input[name=camera]"); i.value = "e-m1"; i.dispatchEvent(new Event("input", {bubbles: true}))' >/dev/null
    browser_await 10 'return document.querySelectorAll(".burst-card").length === 1'
    browser_click '.burst-card'
    await_text 20 'Restack with'
    no_errors
    stop_service
}

# ---- what goes wrong

test_page_shows_a_failure_and_tries_it_again()
{
    need_browser
    mkdir_inbox
    make_burst a
    serve_page --min-correlation 1
    browser_start 1440 900
    browser_go "$PAGE"
    await_text 20 'Waiting for the first frame'
    drop a/*.jpg
    browser_await 40 'return document.querySelectorAll(".card .big")[3]?.textContent === "Failed"'
    look failed
    check_access failed
    press Retry # nothing has changed: it fails once more
    await_log 'is tried again: 5 frames'
    wait_for 30 failures_are 2
    browser_await 20 'return document.querySelectorAll(".card .big")[3].textContent === "Failed"'

    browser_keys 4
    await_text 10 'Retry'
    await_text 10 'Dismiss'
    look system
    check_access system
    press Dismiss
    await_text 10 'All is well'
    browser_keys 1
    await_text 10 'Restack with'
    press 'Restack with…'
    browser_await 10 'return Boolean(document.querySelector("dialog input[name=min_correlation]"))'
    browser_js 'document.querySelector("dialog input[name=min_correlation]").value = 0.5' >/dev/null
    press Restack
    browser_await 40 'return document.querySelectorAll(".card .big")[3].textContent === "Ready"'
    check "$(published)/stack.json" '.fused == 5'
    no_errors
}

failures_are()
{
    [ "$(grep -ac ' error .* failed: ' "$T/service.err")" -eq "$1" ]
}

# ---- a camera

test_page_drives_a_camera()
{
    need_browser
    make_burst files --frames 4
    camera body files --profile nikon --model 'NIKON Z 8' --steps 100
    mkdir_inbox
    serve_page --source "camera:$camera_port" --spool "$T/spool" --gap 100
    browser_start 1440 900
    browser_go "$PAGE/#/camera"
    browser_await 30 'return document.querySelector(".camera .dim")?.textContent.startsWith("connected")'
    browser_click 'summary'
    browser_await 30 'return [...document.querySelectorAll(".camera-settings .field")].length > 3'
    look camera
    check_access camera
    # One of its settings is changed to another of the words that the camera has for it.
    browser_js 'const row = [...document.querySelectorAll(".camera-settings .field")].find((f) => f.textContent.startsWith("capturetarget"));
        row.querySelector("button").click()' >/dev/null
    browser_await 20 'return [...document.querySelectorAll(".camera-settings option")].some((o) => o.value === "Internal RAM")'
    browser_js 'document.querySelector(".camera-settings select").value = "Internal RAM"' >/dev/null
    press Set
    browser_await 20 'return [...document.querySelectorAll(".camera-settings .value")].some((v) => v.textContent === "Internal RAM")'
    browser_js 'document.querySelector("input[name=frames]").value = 4; document.querySelector("input[name=step]").value = 100' >/dev/null
    press 'Try it dry'
    browser_await 20 'return document.querySelector(".camera [role=status]").textContent.startsWith(
        "Dry run: yes. 4 frames, far by 100 each, 300 in all, and back, by manualfocusdrive. The camera has steps from 1 to 32767.")'
    look camera-dry
    check_access camera-dry
    [ -z "$(tell list)" ] || fail "the dry run has shot something"
    press 'Shoot bracket'
    browser_await 40 'return document.querySelector(".camera [role=status]").textContent.startsWith("4 frames shot")'
    browser_keys 1
    browser_await 40 'return document.querySelectorAll(".card .big")[3]?.textContent === "Ready"'
    check "$(published)/stack.json" '.fused == 4'
    no_errors
}

test_page_says_that_a_camera_cannot_be_driven()
{
    need_browser
    make_burst files --frames 3
    camera body files
    mkdir_inbox
    serve_page --source "camera:$camera_port" --spool "$T/spool" --gap 100
    browser_start 390 844
    browser_go "$PAGE/#/camera"
    browser_await 30 'return document.querySelector(".camera .dim")?.textContent.startsWith("connected")'
    press 'Try it dry'
    browser_await 20 'const s = document.querySelector(".camera [role=status]");
        return s.classList.contains("bad-text") && s.textContent.startsWith("Dry run: no. The focus of this camera (Parfocal) cannot be driven")'
    look phone-camera-cannot
    check_access phone-camera-cannot
    browser_is 'return ![...document.querySelectorAll(".toast")].length' || fail "a toast says more"
    no_errors
}

# ---- who may do what

type_token() # TOKEN
{
    browser_js 'const i = document.getElementById("token"); i.focus(); i.select()' >/dev/null
    browser_ask POST "/element/$(browser_find '#token')/clear" '{}' >/dev/null
    browser_ask POST "/element/$(browser_find '#token')/value" "$(jq -nc --arg t "$1" '{text: $t}')" >/dev/null
    press Enter
}

enabled_buttons() # those whose label says that something is done to the service
{
    browser_js 'return [...document.querySelectorAll("button")].filter((b) => b.offsetParent !== null && !b.disabled &&
        /^(Retry|Dismiss|Look now|Change|Set|Restack|Restack with…|Discard frame|Take it back|Finish now|Shoot|Shoot one|Shoot bracket|Try it dry|Stop)/
            .test(b.textContent.trim())).map((b) => b.textContent.trim()).join(", ")' | jq -r .
}

test_page_with_tokens()
{
    local full=full-token-of-this-test-0123456789 read=read-token-of-this-test-0123456789 view name
    need_browser
    make_burst files --frames 3
    camera body files --profile nikon
    mkdir_inbox
    make_burst a
    serve_page --http-token "$full" --http-read-token "$read" --min-frames 3 --source "camera:$camera_port" --spool "$T/spool" --gap 100
    browser_start 1440 900
    browser_go "$PAGE"
    await_text 20 'This address needs the service’s token'
    look login
    check_access login
    browser_is 'return document.getElementById("nav").hidden && !document.querySelector(".pill:not([hidden])")?.offsetParent' ||
        fail "more is shown than the login"
    type_token not-the-token-of-this-test
    await_text 10 'That is not the token'
    browser_errors >/dev/null # of the 401
    type_token "$read"
    await_text 20 'Waiting for the first frame'
    await_text 10 'Read only'
    # A token is in no address and no storage that scripts can read.
    browser_is 'return !location.href.includes("token") && !document.cookie && !JSON.stringify({...localStorage, ...sessionStorage}).includes("token-of")' ||
        fail "the token lies about"
    drop a/*.jpg
    fused_are 5
    look read-only
    check_access read-only
    # Nothing is offered, nothing is done by keys, and the service would not do it.
    browser_js 'document.activeElement.blur()' >/dev/null
    for view in live history camera system; do
        browser_go "$PAGE/#/$view"
        sleep 0.7
        [ -z "$(enabled_buttons)" ] || fail "on $view there are: $(enabled_buttons)"
    done
    await_text 10 'Read only: this token may look, and change nothing.'
    look read-only-system
    check_access read-only-system
    browser_keys 1
    browser_await 10 'return document.querySelectorAll(".frame.good").length === 5'
    browser_js 'document.activeElement.blur()' >/dev/null
    for name in f x r Escape; do browser_keys "$name"; done
    sleep 0.5
    [ "$("$PARFOCAL" bursts --state "$T/state" --json | jq -r '.bursts[0].state')" = open ] || fail "a key has finished the burst"
    [ "$(browser_js 'return fetch("/api/v1/finish", {method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"}).then((r) => r.status)')" = 403 ] ||
        fail "the service would have done it"
    browser_errors >/dev/null
    # Another token, and all is there.
    browser_keys 4
    await_text 10 'Use another token'
    press 'Use another token'
    await_text 10 'This address needs the service’s token'
    type_token "$full"
    browser_await 20 'return Boolean(document.querySelector(".pill")) && !document.body.innerText.includes("Read only")'
    browser_keys 1
    browser_await 10 'return document.querySelectorAll(".frame.good").length === 5'
    press 'Finish now'
    browser_await 40 'return document.querySelectorAll(".card .big")[3].textContent === "Ready"'
    browser_go "$PAGE/#/system"
    await_text 10 'This token may do everything.'
    press Leave
    await_text 10 'This address needs the service’s token'
    [ "$(browser_js 'return fetch("/api/v1/status").then((r) => r.status)')" = 401 ] || fail "it is still let in"
    browser_errors >/dev/null
    stop_service
}

# ---- a hook that fails

test_page_shows_a_failed_hook_and_tells_it_again()
{
    need_browser
    cat >hook <<'E'
#!/bin/bash
[ -e "${0%/*}/mended" ] || { echo "the disk is full" >&2; exit 9; }
E
    chmod +x hook
    mkdir_inbox
    make_burst a --frames 3
    serve_page --expected-frames 3 --on-burst "$T/hook" --hook-retries 1 --hook-backoff 0.2
    browser_start 390 844
    browser_go "$PAGE/#/system"
    drop a/*.jpg
    await_text 40 'on_burst'
    await_text 20 'given up · 2 tries'
    await_text 5 'status 9: the disk is full'
    browser_await 5 'return [...document.querySelectorAll(".pill.bad")].some((p) => p.textContent === "1 trouble")'
    browser_js 'const p = [...document.querySelectorAll(".panel")].find((p) => p.textContent.startsWith("Hooks")); p.scrollIntoView()' >/dev/null
    look phone-hook-failed
    check_access phone-hook-failed
    touch mended
    # At once, since the list is made anew with each word of the delivery: seen, not covered, pressed.
    browser_await 10 'for (const t of document.querySelectorAll(".toast")) t.remove();
        const b = document.querySelector("[data-key^=hook-]");
        if (!b || b.textContent.trim() !== "Retry") return false;
        b.scrollIntoView({block: "center"});
        const r = b.getBoundingClientRect(), at = document.elementFromPoint(r.left + r.width / 2, r.top + r.height / 2);
        if (at !== b && !b.contains(at)) return false;
        b.click();
        return true'
    await_text 20 'done · 3 tries'
    browser_await 10 'return !document.body.innerText.includes("given up") && !document.querySelector(".pill.bad") &&
        document.body.innerText.includes("All is well")'
    look phone-hook-told
    no_errors
    stop_service
}

# ---- a phone, the keyboard alone, and a service that goes and comes

test_page_on_a_phone_through_a_restart()
{
    need_browser
    mkdir_inbox
    make_burst a --width 640 --height 480
    serve_page --gap 100
    browser_start 390 844
    browser_go "$PAGE"
    await_text 20 'Waiting for the first frame'
    drop a/IMG_000[123].jpg
    fused_are 3
    look phone
    check_access phone

    stop_service
    await_text 20 'The service is away'
    look away
    browser_errors >/dev/null # of the connection that was refused
    serve --http "${PAGE#http://}" --gap 100
    browser_await 40 'return !document.body.innerText.includes("The service is away")'
    drop a/IMG_000[45].jpg
    fused_are 5
    # By the keyboard alone: to the strip, along it, and to what can be done with a frame.
    browser_js 'document.activeElement.blur(); window.scrollTo(0, 0)' >/dev/null
    for _ in {1..40}; do
        browser_keys Tab
        ! browser_is 'return document.activeElement.className.startsWith("frame")' || break
    done
    browser_keys End ArrowLeft
    browser_await 5 'return document.activeElement.getAttribute("aria-selected") === "true" &&
        document.activeElement.getAttribute("aria-label").startsWith("Frame 4, ")'
    browser_keys 2
    await_text 10 'History'
    look phone-history
    check_access phone-history
    browser_keys 4
    await_text 10 'Sources'
    look phone-system
    check_access phone-system
    stop_service
}
