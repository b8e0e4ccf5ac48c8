# Starts, watches and stops one stack: demo upstream, control plane, HAProxy. Sourced; the working directory is the
# checkout. Everything that runs writes below SUIFTLY_STATE and nowhere else.

SUIFTLY=${TARGET_DIR:-target}/release/suiftly
declare -A CHILD=()     # name -> pid
declare -A STARTED=()   # name -> second of its last start
declare -A FAILED=()    # name -> starts in a row that never served
PROBE=                  # pid of the look-out for HAProxy's first answer
STOPPING=0

# reachable ADDRESS: where a listener on it is reached from this machine.
reachable() {
    case $1 in
        "" | 0.0.0.0 | \*) echo 127.0.0.1 ;;
        ::) echo "[::1]" ;;
        *:*) echo "[$1]" ;;
        *) echo "$1" ;;
    esac
}

stack_settings() {
    export SUIFTLY_STATE SUIFTLY_HOME
    SUIFTLY_STATE=$(realpath -m "${SUIFTLY_STATE:-var}")
    SUIFTLY_HOME=$PWD
    export SUIFTLY_EDGE_PORT=${SUIFTLY_EDGE_PORT:-8080} SUIFTLY_API_PORT=${SUIFTLY_API_PORT:-8081}
    export SUIFTLY_STATS_PORT=${SUIFTLY_STATS_PORT:-8404} SUIFTLY_UPSTREAM_PORT=${SUIFTLY_UPSTREAM_PORT:-9000}
    # With a certificate of any name, this machine is asked by its loopback address.
    EDGE_URL=${SUIFTLY_EDGE_CERT:+https}
    EDGE_URL=${EDGE_URL:-http}://$(reachable "${SUIFTLY_EDGE_LISTEN:-}"):$SUIFTLY_EDGE_PORT
    API_URL=http${SUIFTLY_API_CERT:+s}://$(reachable "${SUIFTLY_API_LISTEN:-}"):$SUIFTLY_API_PORT
    STATS_URL=http://$(reachable "${SUIFTLY_STATS_LISTEN:-}"):$SUIFTLY_STATS_PORT
    # A unix socket's path has at most 107 bytes, and HAProxy makes a temporary name beside its own.
    if [ ${#SUIFTLY_STATE} -gt 75 ]; then
        echo "SUIFTLY_STATE is too long a path for its sockets (${#SUIFTLY_STATE} bytes, at most 75): $SUIFTLY_STATE" >&2
        return 1
    fi
    mkdir -p -m 700 "$SUIFTLY_STATE"
    mkdir -p "$SUIFTLY_STATE/log" "$SUIFTLY_STATE/modules"
}

# curl towards the edge; the certificate's name is not what is looked at here.
edge_curl() { curl ${SUIFTLY_EDGE_CERT:+--insecure} "$@"; }

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

require_free_ports() {
    local name port
    for name in SUIFTLY_EDGE_PORT SUIFTLY_API_PORT SUIFTLY_STATS_PORT ${SUIFTLY_EDGE_CLEAR_PORT:+SUIFTLY_EDGE_CLEAR_PORT} ${USES_DEMO_UPSTREAM:+SUIFTLY_UPSTREAM_PORT}; do
        port=${!name}
        if port_taken "$port"; then
            echo "port $port is taken: end what listens there, or choose another with $name=…" >&2
            return 1
        fi
    done
}

# start_child NAME [PAUSE]: starts it, after PAUSE seconds that it waits itself, so that nothing else waits for it.
start_child() {
    local name=$1 pause=${2:-0} command
    case $name in
        upstream) command=("$SUIFTLY" demo-upstream --port "$SUIFTLY_UPSTREAM_PORT") ;;
        serve) command=("$SUIFTLY" serve) ;;
        haproxy) command=(env -u DATABASE_URL haproxy -W -p "$SUIFTLY_STATE/haproxy.pid" -S "$SUIFTLY_STATE/haproxy-master.sock,mode,600" -f haproxy/haproxy.cfg) ;;
    esac
    (
        trap - INT TERM EXIT
        [ "$pause" -gt 0 ] && sleep "$pause"
        exec "${command[@]}"
    ) >>"$SUIFTLY_STATE/log/$name.log" 2>&1 &
    CHILD[$name]=$!
    STARTED[$name]=$((SECONDS + pause))
    [ "$name" = haproxy ] && look_out
    return 0
}

# Whether a start of HAProxy ever served decides whether the next one waits (see restart_child).
look_out() {
    end_look_out
    rm -f "$SUIFTLY_STATE/haproxy.served"
    (
        trap - INT TERM EXIT
        until edge_curl -fsS -m 1 -o /dev/null "$EDGE_URL/_suiftly/health"; do sleep 0.2; done
        : >"$SUIFTLY_STATE/haproxy.served"
    ) >/dev/null 2>&1 &
    PROBE=$!
    disown
}

end_look_out() {
    [ -z "$PROBE" ] || kill "$PROBE" 2>/dev/null || true
    PROBE=
}

# await WHAT SECONDS COMMAND ...: repeats COMMAND until it succeeds; ends early when a child has died.
await() {
    local what=$1 deadline=$((SECONDS + $2)) name
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ $STOPPING -ne 0 ]; then
            echo "stopped while starting" >&2
            return 1
        fi
        for name in "${!CHILD[@]}"; do
            if ! kill -0 "${CHILD[$name]}" 2>/dev/null; then
                echo "$name ended while starting; the end of $SUIFTLY_STATE/log/$name.log:" >&2
                tail -n 5 "$SUIFTLY_STATE/log/$name.log" >&2
                return 1
            fi
        done
        if [ $SECONDS -ge $deadline ]; then
            echo "$what did not happen; see $SUIFTLY_STATE/log/" >&2
            return 1
        fi
        sleep 0.1
    done
}

start_stack() {
    if [ -z "${SUIFTLY_UPSTREAM:-}" ] || [ -z "${SUIFTLY_GRPC_UPSTREAM:-}" ]; then USES_DEMO_UPSTREAM=1; fi
    require_free_ports || return 1
    put_in_place "$TARGET_DIR/modules/libsuiftly-lua5.3.so" "$SUIFTLY_STATE/modules/libsuiftly-lua5.3.so"
    put_in_place "$TARGET_DIR/modules/libsuiftly-lua5.4.so" "$SUIFTLY_STATE/modules/libsuiftly-lua5.4.so"
    if [ -n "${USES_DEMO_UPSTREAM:-}" ]; then
        start_child upstream
        await "the demo upstream's first answer" 10 curl -fsS -m 1 "http://127.0.0.1:$SUIFTLY_UPSTREAM_PORT/" || return 1
    fi
    start_child serve
    # -k: its certificate names its public host, not this address, and the process is our own.
    await "the control plane's first answer" 20 curl -fsSk -m 1 "$API_URL/healthz" || return 1
    start_child haproxy
    await "the edge's first answer" 20 edge_curl -fsS -m 1 "$EDGE_URL/_suiftly/health" || return 1
    await "the edge in step with the control plane" 20 curl -fsSk -m 1 "$API_URL/readyz" || return 1
}

# Starts again what has ended: at once, or after a pause when three starts in a row never served.
restart_child() {
    local name=$1 pause=0
    if [ "$name" = haproxy ]; then
        if [ -e "$SUIFTLY_STATE/haproxy.served" ]; then FAILED[$name]=0; fi
    elif [ $((SECONDS - ${STARTED[$name]})) -ge 3 ]; then
        FAILED[$name]=0
    fi
    FAILED[$name]=$((${FAILED[$name]:-0} + 1))
    if [ "${FAILED[$name]}" -gt 3 ]; then pause=$((FAILED[$name] > 8 ? 10 : FAILED[$name] - 2)); fi
    echo "$(date -u +%H:%M:%SZ) $name ended; starting it again in $pause s (log: $SUIFTLY_STATE/log/$name.log)"
    start_child "$name" "$pause"
}

# Runs until a signal sets STOPPING.
watch_stack() {
    local ended name
    while [ $STOPPING -eq 0 ]; do
        ended=
        wait -n -p ended "${CHILD[@]}" || true
        [ $STOPPING -eq 0 ] || break
        for name in "${!CHILD[@]}"; do
            if [ "${CHILD[$name]}" = "${ended:-none}" ]; then restart_child "$name"; fi
        done
    done
}

# Ends all children: asked first, after 5 s told. Whatever of it fails, the rest goes on.
stop_stack() {
    set +e
    STOPPING=1
    end_look_out
    local name pid deadline=$((SECONDS + 5))
    for pid in "${CHILD[@]}"; do kill -TERM "$pid" 2>/dev/null; done
    for name in "${!CHILD[@]}"; do
        while kill -0 "${CHILD[$name]}" 2>/dev/null; do
            if [ $SECONDS -ge $deadline ]; then
                kill -KILL "${CHILD[$name]}" 2>/dev/null
                break
            fi
            sleep 0.05
        done
        wait "${CHILD[$name]}" 2>/dev/null
    done
    CHILD=()
    return 0
}

# json_field NAME: the value of a field of a flat JSON object on standard input.
json_field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1; }
