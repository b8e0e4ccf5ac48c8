# scripts/run --check: proves the whole path, one printed step after the other. Sourced.

CHECKS_FAILED=0

# expect STEP EXPECTED SEEN
expect() {
    if [ "$2" = "$3" ]; then
        printf '  ok      %-58s %s\n' "$1" "$3"
    else
        printf '  FAILED  %-58s saw %s, expected %s\n' "$1" "$3" "$2"
        CHECKS_FAILED=$((CHECKS_FAILED + 1))
    fi
}

# status CURL-ARGUMENTS ...: the status of one request.
status() { edge_curl -s -o /dev/null -m 5 -w '%{http_code}' "$@" "$EDGE_URL/check" || true; }
admin() { "$SUIFTLY" admin "$@" --json; }

# A state and ports of its own, unless they are set.
check_settings() {
    if [ -z "${SUIFTLY_STATE:-}" ]; then
        # Of its own in everything: what the environment names may be somebody's real database and keys.
        unset DATABASE_URL SUIFTLY_KEYRING SUIFTLY_EDGE_CERT SUIFTLY_EDGE_CLEAR_PORT SUIFTLY_UPSTREAM SUIFTLY_GRPC_UPSTREAM
        unset SUIFTLY_EDGE_LISTEN SUIFTLY_API_LISTEN SUIFTLY_STATS_LISTEN SUIFTLY_MODULES
        SUIFTLY_STATE=$(mktemp -d "${TMPDIR:-/tmp}/suiftly-check.XXXXXX")
        CHECK_STATE=$SUIFTLY_STATE
    fi
    local name port=$((20000 + RANDOM % 20000))
    for name in SUIFTLY_EDGE_PORT SUIFTLY_API_PORT SUIFTLY_STATS_PORT SUIFTLY_UPSTREAM_PORT; do
        [ -n "${!name:-}" ] && continue
        while port_taken $port; do port=$((port + 1)); done
        export "$name=$port"
        port=$((port + 1))
    done
}

end_check() {
    stop_stack
    # A failed check leaves its logs.
    if [ -n "${CHECK_STATE:-}" ]; then
        if [ $CHECKS_FAILED -eq 0 ] && [ "${CHECK_DONE:-0}" = 1 ]; then rm -rf "$CHECK_STATE"; else echo "state and logs are kept in $CHECK_STATE"; fi
    fi
}

check_everything() {
    check_settings
    stack_settings
    trap 'exit 130' INT TERM
    trap 'end_check' EXIT
    if [ $demo -eq 1 ]; then seed_demo; fi
    start_stack
    echo "edge $EDGE_URL, state $SUIFTLY_STATE"

    local customer key fingerprint second over
    customer=$(admin customer create --wallet 0x$(printf '%064x' 1) | json_field customer_id)
    admin service enable --customer "$customer" --service seal --tier starter >/dev/null
    key=$(admin key create --customer "$customer" --service seal | json_field api_key)

    expect "good key, Authorization: Bearer" 200 "$(status -H "Authorization: Bearer $key")"
    expect "good key, X-API-Key" 200 "$(status -H "X-API-Key: $key")"
    expect "good key in lower case is the same key" 200 "$(status -H "X-API-Key: ${key,,}")"
    expect "no key" 401 "$(status)"
    expect "two keys" 401 "$(status -H "X-API-Key: $key" -H "Authorization: Bearer $key")"
    expect "forged: one character of the tag changed" 401 "$(status -H "X-API-Key: $(other_character "$key" 22)")"
    expect "respelled: a spare bit of the last character set" 401 "$(status -H "X-API-Key: $(respelled "$key")")"
    expect "wrong service: the letter changed to gRPC's" 401 "$(status -H "X-API-Key: R${key:1}")"
    expect "browser preflight" 204 "$(status -X OPTIONS -H 'Origin: https://app.example.com' -H 'Access-Control-Request-Method: POST' -H 'Access-Control-Request-Headers: authorization')"

    sleep 1.2
    over=$(burst_of_requests 40 "$key")
    expect "over the limit of 12/s: 40 at once, Retry-After on each 429" "429 with Retry-After: 1" "$over"
    sleep 1
    expect "… and back a second later" 200 "$(status -H "X-API-Key: $key")"

    admin service suspend --customer "$customer" --service seal >/dev/null
    expect "service suspended" 403 "$(status -H "X-API-Key: $key")"
    admin service resume --customer "$customer" --service seal >/dev/null
    expect "service resumed" 200 "$(status -H "X-API-Key: $key")"

    second=$(admin key create --customer "$customer" --service seal | json_field api_key)
    fingerprint=$(admin key inspect --key "$second" | json_field fingerprint)
    expect "a second key" 200 "$(status -H "X-API-Key: $second")"
    admin key revoke --fingerprint "$fingerprint" >/dev/null
    expect "… revoked: the first request after the command's return" 401 "$(status -H "X-API-Key: $second")"
    expect "… the first key is not touched" 200 "$(status -H "X-API-Key: $key")"

    killed_and_back "$key"
    expect "HAProxy killed: serves again within a second" yes "$BACK"
    expect "… and the revoked key is still refused" 401 "$(status -H "X-API-Key: $second")"

    if [ $demo -eq 1 ]; then check_demo; fi

    CHECK_DONE=1
    if [ $CHECKS_FAILED -eq 0 ]; then echo "all steps are as they should be"; else echo "$CHECKS_FAILED steps failed"; fi
    [ $CHECKS_FAILED -eq 0 ]
}

# other_character KEY POSITION: KEY with another character of the alphabet at POSITION (from 0).
other_character() {
    local c=${1:$2:1}
    [ "$c" = B ] && c=C || c=B
    printf '%s%s%s' "${1:0:$2}" "$c" "${1:$(($2 + 1))}"
}

# respelled KEY: the same 17 bytes, with the lowest spare bit of the last character set.
respelled() {
    local alphabet=ABCDEFGHIJKLMNOPQRSTUVWXYZ234567 last=${1: -1} before
    before=${alphabet%%"$last"*}
    printf '%s%s' "${1%?}" "${alphabet:$((${#before} + 1)):1}"
}

# burst_of_requests COUNT KEY: COUNT requests on one connection; says what the refused ones carried.
burst_of_requests() {
    local urls=() i
    for ((i = 0; i < $1; i++)); do urls+=(-o /dev/null "$EDGE_URL/check"); done
    edge_curl -s -m 10 -D - -H "X-API-Key: $2" "${urls[@]}" | tr -d '\r' | awk '
        /^HTTP/ { status = $2 } tolower($1) == "retry-after:" && status == 429 { with[$2]++ } status == 429 && /^HTTP/ { n++ }
        END { if (n == 0) print "no 429"; else if (with[1] == n) print "429 with Retry-After: 1"; else print "429 without Retry-After" }'
}

# killed_and_back KEY: kills the worker with SIGKILL, restarts as scripts/run does, measures; the answer is in BACK. Not in
# a subshell, which would forget the new HAProxy's pid.
killed_and_back() {
    local worker start_ms took_ms
    worker=$(pgrep -P "$(cat "$SUIFTLY_STATE/haproxy.pid")" | head -n 1)
    start_ms=$(date +%s%3N)
    kill -KILL "$worker"
    wait "${CHILD[haproxy]}" 2>/dev/null || true
    start_child haproxy
    until [ "$(status -H "X-API-Key: $1")" = 200 ] || [ $(($(date +%s%3N) - start_ms)) -gt 5000 ]; do sleep 0.02; done
    took_ms=$(($(date +%s%3N) - start_ms))
    if [ $took_ms -le 1000 ]; then BACK=yes; else BACK="after $took_ms ms"; fi
}
