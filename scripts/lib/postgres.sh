# A private PostgreSQL for tests: a socket in a folder of its own, no TCP, nothing kept. Sourced; needs packages.sh.

TEST_POSTGRES=       # its folder
TEST_POSTGRES_PID=

# postgres_programs: the folder with initdb and postgres. Debian keeps them off the PATH, one folder a version.
postgres_programs() {
    local initdb
    initdb=$(command -v initdb || ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -V | tail -n 1)
    [ -n "$initdb" ] && dirname "$(realpath "$initdb")"
}

require_test_postgres() {
    require_packages "postgresql=postgres_programs" "util-linux=command -v setpriv"
}

# start_test_postgres: starts it and exports SUIFTLY_TEST_POSTGRES. The caller sees to stop_test_postgres.
start_test_postgres() {
    local programs as=() deadline=$((SECONDS + 30))
    programs=$(postgres_programs)
    TEST_POSTGRES=$(mktemp -d "${TMPDIR:-/tmp}/suiftly-postgres.XXXXXX")
    if [ "$(id -u)" -eq 0 ]; then
        # PostgreSQL refuses to run as root; its package has made this user.
        as=(setpriv --reuid postgres --regid postgres --init-groups)
        chown postgres:postgres "$TEST_POSTGRES"
    fi
    if ! (cd / && exec "${as[@]}" "$programs/initdb" -D "$TEST_POSTGRES/data" -U postgres -A trust -E UTF8 --locale C.UTF-8 \
        --no-sync) >"$TEST_POSTGRES.log" 2>&1; then
        cat "$TEST_POSTGRES.log" >&2
        return 1
    fi
    # The parent's death ends it, too. Nothing here has to survive a crash of the machine: no fsync.
    (cd / && exec "${as[@]}" setpriv --pdeathsig INT "$programs/postgres" -D "$TEST_POSTGRES/data" -k "$TEST_POSTGRES" \
        -c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=200) >>"$TEST_POSTGRES.log" 2>&1 &
    TEST_POSTGRES_PID=$!
    until "$programs/pg_isready" -q -h "$TEST_POSTGRES"; do
        if [ $SECONDS -ge $deadline ] || ! kill -0 $TEST_POSTGRES_PID 2>/dev/null; then
            cat "$TEST_POSTGRES.log" >&2
            return 1
        fi
        sleep 0.05
    done
    export SUIFTLY_TEST_POSTGRES="postgres://postgres@/postgres?host=$TEST_POSTGRES"
}

# stop_test_postgres: ends it, sessions and all, and removes its folder.
stop_test_postgres() {
    if [ -n "$TEST_POSTGRES_PID" ]; then
        kill -INT "$TEST_POSTGRES_PID" 2>/dev/null || true
        wait "$TEST_POSTGRES_PID" 2>/dev/null || true
    fi
    [ -n "$TEST_POSTGRES" ] && rm -rf "$TEST_POSTGRES" "$TEST_POSTGRES.log"
    TEST_POSTGRES= TEST_POSTGRES_PID=
}
