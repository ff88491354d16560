# A real browser for tests: Chromium without a screen, driven through ChromeDriver by the W3C WebDriver
# protocol (https://www.w3.org/TR/webdriver2/), which is JSON over HTTP. Sourced after lib.sh.
#
#   need_browser                skips the test where there is none
#   browser_start [W H]         begins; a window of that size (1440 900)
#   browser_go URL
#   browser_size W H            another window size; below 600 wide as a phone, with touch
#   browser_js SCRIPT [ARG...]  runs the body of a function on the page, prints what it returns as
#                               JSON; arguments[0], ... are the texts ARG
#   browser_is SCRIPT           whether it returns true
#   browser_await SECONDS SCRIPT   until it returns true; says what the page shows where it does not
#   browser_click SELECTOR      as a mouse does: scrolled to, seen, not covered
#   browser_keys TEXT...        as a keyboard does, to what has the focus; Tab, Enter, ArrowLeft, ...
#                               are keys, anything else is typed
#   browser_shot FILE           a PNG of the window
#   browser_errors              what the console has said since it was asked last that is worse than
#                               a word of advice, one a line
#   browser_cdp METHOD JSON     DevTools; prints its result

need_browser()
{
    need chromedriver chromium curl jq
}

browser_start()
{
    local status=0 sandbox='' width=${1:-1440} height=${2:-900}
    # Chromium's sandbox does not work for root.
    [ "$(id -u)" -ne 0 ] || sandbox='"--no-sandbox",'
    start chromedriver chromedriver --port=0
    wait_for 30 grep -q 'successfully on port' "$T/chromedriver.out"
    BROWSER=http://127.0.0.1:$(sed -n 's/.*successfully on port \([0-9]\+\).*/\1/p' "$T/chromedriver.out" | head -n 1)
    browser_ask POST /session '{"capabilities":{"alwaysMatch":{"browserName":"chrome",
        "goog:loggingPrefs":{"browser":"ALL"},
        "goog:chromeOptions":{"args":['"$sandbox"'"--headless=new","--disable-gpu","--disable-dev-shm-usage",
        "--no-first-run","--force-prefers-reduced-motion","--disable-extensions","--disable-background-networking","--hide-scrollbars",
        "--window-size='"$width,$height"'","--user-data-dir='"$T"'/chromium"]}}}}' >"$T/session" || status=$?
    [ "$status" -eq 0 ] || {
        cat "$T/session" "$T/chromedriver.err"
        fail "Chromium does not start"
    }
    BROWSER=$BROWSER/session/$(jq -r .sessionId "$T/session")
    browser_size "$width" "$height"
    at_end browser_end
}

browser_end()
{
    curl -sS -m 10 -X DELETE "$BROWSER" >/dev/null 2>&1
}

# METHOD PATH [BODY]: prints `value` as JSON; status 1 and the message when the driver refuses.
browser_ask()
{
    local answer
    answer=$(curl -sS -m 60 -X "$1" -H 'Content-Type: application/json' ${3:+--data-binary @-} \
        "$BROWSER$2" <<<"${3:-}") || return 1
    if [ "$(jq -r '.value | type == "object" and has("error")' <<<"$answer")" = true ]; then
        jq -r '.value | "\(.error): \(.message)"' <<<"$answer" | head -n 3 >&2
        return 1
    fi
    jq -c .value <<<"$answer"
}

browser_cdp()
{
    browser_ask POST /goog/cdp/execute "$(jq -nc --arg cmd "$1" --argjson params "$2" '{cmd: $cmd, params: $params}')"
}

browser_size()
{
    local phone=false
    [ "$1" -ge 600 ] || phone=true
    browser_cdp Emulation.setDeviceMetricsOverride \
        "{\"width\":$1,\"height\":$2,\"deviceScaleFactor\":1,\"mobile\":$phone}" >/dev/null
    browser_cdp Emulation.setTouchEmulationEnabled "{\"enabled\":$phone}" >/dev/null
}

browser_go()
{
    browser_ask POST /url "$(jq -nc --arg url "$1" '{url: $url}')" >/dev/null
}

browser_js()
{
    local script=$1
    shift
    browser_ask POST /execute/sync \
        "$(jq -nc --arg script "$script" '{script: $script, args: $ARGS.positional}' --args -- "$@")"
}

browser_is()
{
    [ "$(browser_js "$1" 2>/dev/null)" = true ]
}

browser_await()
{
    local seconds=$1 end
    [ -z "$SAN" ] || seconds=$((seconds * 3))
    end=$((SECONDS + seconds))
    until browser_is "$2"; do
        if [ $SECONDS -gt $end ]; then
            browser_js 'return document.body.innerText' | jq -r . | head -n 60
            browser_errors
            browser_shot "${SHOTS:-$T}/await.png"
            fail "not within $seconds s on the page: $2"
        fi
        sleep 0.1
    done
}

browser_find()
{
    browser_ask POST /element "$(jq -nc --arg css "$1" '{using: "css selector", value: $css}')" |
        jq -r '.[]'
}

browser_click()
{
    local element
    element=$(browser_find "$1")
    [ "$element" ] && browser_ask POST "/element/$element/click" '{}' >/dev/null ||
        fail "cannot be clicked: $1"
}

browser_keys()
{
    local key value actions=''
    for key; do
        case $key in
        Tab) value='\ue004' ;;
        Shift) value='\ue008' ;;
        Enter) value='\ue007' ;;
        Escape) value='\ue00c' ;;
        End) value='\ue010' ;;
        Home) value='\ue011' ;;
        ArrowLeft) value='\ue012' ;;
        ArrowUp) value='\ue013' ;;
        ArrowRight) value='\ue014' ;;
        ArrowDown) value='\ue015' ;;
        *) value=$key ;;
        esac
        actions+=${actions:+,}'{"type":"keyDown","value":"'$value'"},{"type":"keyUp","value":"'$value'"}'
    done
    browser_ask POST /actions '{"actions":[{"type":"key","id":"keyboard","actions":['"$actions"']}]}' >/dev/null
}

browser_shot()
{
    browser_ask GET /screenshot | jq -r . | base64 -d >"$1"
}

browser_errors()
{
    browser_ask POST /se/log '{"type":"browser"}' |
        jq -r '.[] | select(.level == "SEVERE" or .level == "WARNING") | "\(.level): \(.message)"'
}
