#!/usr/bin/env bash
# Installs, runs, upgrades, removes and purges the package under a real systemd, in a machine of its own (machine.sh).
# One printed line a step. tests/package/main.rs runs it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/package/machine.sh

if [ "$(id -u)" -ne 0 ]; then echo "SKIPPED: the package test needs root, for namespaces and dpkg" >&2; exit 77; fi

FAILED=0
# expect STEP EXPECTED SEEN
expect() {
    if [ "$2" = "$3" ]; then printf '  ok      %-76s %s\n' "$1" "$3"
    else printf '  FAILED  %-76s saw %s, expected %s\n' "$1" "$3" "$2"; FAILED=$((FAILED + 1)); fi
}
# expect_text STEP PART TEXT
expect_text() {
    case $3 in
        *"$2"*) printf '  ok      %s\n' "$1" ;;
        *) printf '  FAILED  %-76s lacks "%s": %s\n' "$1" "$2" "$3"; FAILED=$((FAILED + 1)) ;;
    esac
}
# within SECONDS COMMAND ...: repeats the command until it succeeds.
within() {
    local deadline=$(($(date +%s%3N) + $1 * 1000))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$(date +%s%3N)" -gt $deadline ]; then echo "not in time: $*"; return 1; fi
        sleep 0.02
    done
    echo yes
}

files=$(mktemp -d "${TMPDIR:-/tmp}/package-files.XXXXXX")
finish() {
    if [ $FAILED -ne 0 ] && [ -n "$MACHINE_INIT" ]; then
        echo "--- the machine's journal"
        machine journalctl --no-pager -q -n 60 -u suiftly -u suiftly-edge -o cat
    fi
    machine_stop
    rm -rf "$files"
}
trap finish EXIT

# --- three packages: the first, a good next one, one whose configuration HAProxy refuses
for version in 1.0.0 1.0.1; do scripts/package --no-build --version $version --out "$files" >/dev/null || exit 1; done
architecture=$(dpkg --print-architecture)
dpkg-deb -R "$files/suiftly_1.0.1_$architecture.deb" "$files/tree"
sed -i 's/^Version: .*/Version: 1.0.2/' "$files/tree/DEBIAN/control"
sed -i 's/^global$/global\n    no-such-keyword/' "$files/tree/etc/suiftly/haproxy.cfg"
dpkg-deb --root-owner-group --build "$files/tree" "$files/suiftly_1.0.2_$architecture.deb" >/dev/null
rm -r "$files/tree"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=edge.example.com \
    -keyout "$files/key.pem" -out "$files/chain.pem" 2>/dev/null
cat "$files/chain.pem" "$files/key.pem" >"$files/edge.pem"

machine_start "$files" || exit 1
echo "systemd $(machine systemctl --version | head -n 1) runs as process 1 of a machine of its own"

deb() { echo "/machine/suiftly_$1_$architecture.deb"; }
mode() { machine stat -c '%a %U:%G' "$1"; }
active() { machine systemctl is-active "$1" 2>/dev/null; }
status() { machine curl -sk -m 5 -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $1" "${@:2}" https://127.0.0.1/; }
admin() { machine suiftly-admin "$@" --json; }
field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1; }
master_pid() { machine systemctl show -P MainPID suiftly-edge; }
worker_pid() { show_proc | awk '/^# workers/ { on = 1; next } /^#/ { on = 0 } on && $2 == "worker" { print $1; exit }'; }
show_proc() { machine sh -c "echo show proc | setpriv --reuid suiftly --regid suiftly --init-groups socat - /var/lib/suiftly/haproxy-master.sock"; }
of_process() { machine sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }
serves() { [ "$(status "$key")" = 200 ]; }
new_worker() { local now; now=$(worker_pid); [ -n "$now" ] && [ "$now" != "$1" ]; }
no_process() { ! machine test -d "/proc/$1"; }
in_step() { machine curl -fsS -m 1 -o /dev/null http://127.0.0.1:8081/readyz; }

echo "--- install"
printed=$(machine dpkg -i "$(deb 1.0.0)" 2>&1)
expect "dpkg -i" 0 $?
expect_text "… says how to go on" "systemctl enable --now suiftly-edge" "$printed"
expect "the control plane runs" active "$(active suiftly)"
expect "… and answers" yes "$(within 10 machine curl -fsS -m 1 http://127.0.0.1:8081/healthz)"
expect "the edge does not run before somebody gave it a certificate" inactive "$(active suiftly-edge)"
expect "mode of the state folder" "1770 suiftly:suiftly" "$(mode /var/lib/suiftly)"
expect "mode of keyring.toml" "600 suiftly:suiftly" "$(mode /var/lib/suiftly/keyring.toml)"
expect "mode of maps/" "2750 suiftly:haproxy" "$(mode /var/lib/suiftly/maps)"
for map in policies revocations plans services errors; do
    expect "mode of maps/$map.map" "640 suiftly:haproxy" "$(mode /var/lib/suiftly/maps/$map.map)"
done
expect "mode of edge.env" "640 root:suiftly" "$(mode /etc/suiftly/edge.env)"
expect "mode of suiftly.toml" "640 root:suiftly" "$(mode /etc/suiftly/suiftly.toml)"
expect "the installed settings can be used" 0 "$(machine /usr/lib/suiftly/with-settings suiftly config check >/dev/null; echo $?)"
expect "the worker's user cannot read the keyring" 1 "$(machine setpriv --reuid haproxy --regid haproxy --clear-groups cat /var/lib/suiftly/keyring.toml >/dev/null 2>&1; echo $?)"

echo "--- start"
machine systemctl start suiftly-edge 2>/dev/null
expect "without a certificate the edge does not start" 1 "$?"
machine systemctl stop suiftly-edge
expect_text "… and says what to do" "set SUIFTLY_EDGE_CERT to a PEM file" "$(machine journalctl --no-pager -q -u suiftly-edge -o cat)"
machine install -m 600 -o root -g root /machine/edge.pem /etc/suiftly/edge.pem
machine sh -c 'printf "SUIFTLY_EDGE_CERT=/etc/suiftly/edge.pem\nSUIFTLY_UPSTREAM_PORT=9000\nSUIFTLY_HARD_STOP_S=5\n" >>/etc/suiftly/edge.env'
machine systemd-run --quiet --unit=upstream /usr/bin/suiftly demo-upstream --port 9000
machine systemctl --quiet enable --now suiftly-edge 2>/dev/null
expect "with one it starts" active "$(active suiftly-edge)"
customer=$(admin customer create --wallet 0x$(printf '%064x' 1) | field customer_id)
admin service enable --customer "$customer" --service seal --tier pro >/dev/null
key=$(admin key create --customer "$customer" --service seal | field api_key)
second=$(admin key create --customer "$customer" --service seal | field api_key)
expect "a key made by suiftly-admin is served on port 443" yes "$(within 5 serves)"
expect "… over HTTP/2, too" 200 "$(status "$key" --http2)"
expect "no key" 401 "$(machine curl -sk -m 5 -o /dev/null -w '%{http_code}' https://127.0.0.1/)"

echo "--- the sandbox, as the kernel sees it"
master=$(master_pid)
worker=$(worker_pid)
haproxy_uid=$(machine id -u haproxy)
expect "the master is root …" "0	0	0	0" "$(of_process "$master" Uid)"
expect "… with DAC_READ_SEARCH, KILL, SETGID, SETUID, NET_BIND_SERVICE, SYS_CHROOT only" 00000000000404e4 "$(of_process "$master" CapEff)"
expect "the worker is haproxy …" "$haproxy_uid	$haproxy_uid	$haproxy_uid	$haproxy_uid" "$(of_process "$worker" Uid)"
expect "… without any capability" "0000000000000000 0000000000000000" "$(of_process "$worker" CapEff) $(of_process "$worker" CapPrm)"
expect "… without further groups" "" "$(of_process "$worker" Groups | tr -d ' ')"
expect "… in an empty folder" /usr/lib/suiftly/empty "$(machine readlink "/proc/$worker/root")"
expect "… with NoNewPrivs and a system call filter" "1 2" "$(of_process "$worker" NoNewPrivs) $(of_process "$worker" Seccomp)"
expect "mode of the master socket" "660 root:suiftly" "$(mode /var/lib/suiftly/haproxy-master.sock)"
expect "mode of the runtime socket" 600 "$(machine stat -c %a /var/lib/suiftly/haproxy.sock)"
expect "the control plane has no capability" 0000000000000000 "$(of_process "$(machine systemctl show -P MainPID suiftly)" CapEff)"

echo "--- revoke, reload, kill"
expect "the edge is in step" yes "$(within 5 in_step)"
expect "a second key" 200 "$(status "$second")"
admin key revoke --key "$second" >/dev/null
expect "… revoked: the first request after the command's return" 401 "$(status "$second")"
machine systemctl reload suiftly-edge
expect "systemctl reload: a new worker" yes "$(within 5 new_worker "$worker")"
expect "… the old one ends" yes "$(within 10 no_process "$worker")"
expect "… the key is served, the revoked one is not" "200 401" "$(status "$key") $(status "$second")"
worker=$(worker_pid)
start_ms=$(date +%s%3N)
machine kill -KILL "$worker"
expect "the worker killed: a new one" yes "$(within 5 new_worker "$worker")"
expect "… serves" yes "$(within 5 serves)"
took_ms=$(($(date +%s%3N) - start_ms))
printf '          served again %s ms after the kill\n' $took_ms
expect "… within 1.5 s" yes "$([ $took_ms -le 1500 ] && echo yes || echo "$took_ms ms")"
expect "… the revoked key is still refused" 401 "$(status "$second")"
used() { [ "$(admin usage --customer "$customer" | field guaranteed)" -ge 4 ]; }
expect "the ledger knows this run of the machine" no "$([ "$(machine od -An -tu8 -j56 -N8 /var/lib/suiftly/ledger | tr -d ' ')" = 0 ] && echo yes || echo no)"
expect "what was used is collected: the ledger is the workers' to write" yes "$(within 10 used)"
expect "… and the control plane is in step with it" yes "$(within 5 in_step)"

echo "--- upgrade"
worker=$(worker_pid)
master=$(master_pid)
# Requests on new connections all the while; each one that is not 200 leaves a line.
machine sh -c "while :; do c=\$(curl -sk -m 5 -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer $key' https://127.0.0.1/); [ \"\$c\" = 200 ] || echo \"\$c\" >>/tmp/failed; echo >>/tmp/asked; [ -e /tmp/enough ] && exit; sleep 0.01; done" &
load=$!
machine dpkg -i "$(deb 1.0.1)" >/dev/null 2>&1
expect "dpkg -i of 1.0.1" 0 $?
expect "… the master stays, a new worker serves" "$master yes" "$(master_pid) $(within 5 new_worker "$worker")"
sleep 1
machine touch /tmp/enough
wait $load
asked=$(machine sh -c 'wc -l </tmp/asked')
expect "… requests on new connections went on meanwhile" yes "$([ "$asked" -ge 20 ] && echo yes || echo "$asked")"
expect "… of these $asked failed" 0 "$(machine sh -c 'cat /tmp/failed 2>/dev/null | wc -l')"
expect "… the revoked key is still refused" 401 "$(status "$second")"
expect "… what the operator wrote into edge.env is there" 0 "$(machine grep -q SUIFTLY_EDGE_CERT=/etc /etc/suiftly/edge.env; echo $?)"

echo "--- upgrade to a version whose configuration HAProxy refuses"
expect "the edge is in step" yes "$(within 5 in_step)"
worker=$(worker_pid)
serve=$(machine systemctl show -P MainPID suiftly)
printed=$(machine dpkg -i "$(deb 1.0.2)" 2>&1)
expect "dpkg -i of 1.0.2 fails" 1 $?
expect_text "… shows HAProxy's reason" "no-such-keyword" "$printed"
expect_text "… says what holds and what to do" "dpkg --configure suiftly" "$printed"
expect "… the same worker goes on" "$worker" "$(worker_pid)"
expect "… and the same control plane" "$serve" "$(machine systemctl show -P MainPID suiftly)"
expect "… and serves" "200 401" "$(status "$key") $(status "$second")"
machine systemctl reload suiftly-edge 2>/dev/null
expect "a reload by hand is refused, too" 1 $?
expect "… and changes nothing" "$worker 200" "$(worker_pid) $(status "$key")"
machine sed -i /no-such-keyword/d /etc/suiftly/haproxy.cfg
machine dpkg --configure suiftly >/dev/null 2>&1
expect "corrected: dpkg --configure" 0 $?
expect "… a new worker serves" "yes yes" "$(within 5 new_worker "$worker") $(within 5 serves)"

echo "--- remove, purge, install again"
machine dpkg -r suiftly >/dev/null 2>&1
expect "dpkg -r" 0 $?
expect "… both services have ended" "inactive inactive" "$(active suiftly) $(active suiftly-edge)"
expect "… nothing listens" 000 "$(status "$key")"
expect "… configuration and state are there" 0 "$(machine ls /etc/suiftly/edge.env /var/lib/suiftly/keyring.toml /var/lib/suiftly/suiftly.db >/dev/null; echo $?)"
sum=$(machine sha256sum /var/lib/suiftly/keyring.toml)
printed=$(machine dpkg -P suiftly 2>&1)
expect "dpkg -P" 0 $?
expect_text "… says that the keyring is kept, and how to delete it" "rm -r /var/lib/suiftly" "$printed"
expect "… the configuration is gone" 2 "$(machine ls /etc/suiftly/edge.env >/dev/null 2>&1; echo $?)"
expect "… the operator's own file is there" 0 "$(machine test -e /etc/suiftly/edge.pem; echo $?)"
expect "… keyring and database are there, maps are not" "0 0 1" "$(for file in keyring.toml suiftly.db maps; do machine test -e /var/lib/suiftly/$file; printf '%s ' $?; done | sed 's/ $//')"
machine dpkg -i "$(deb 1.0.1)" >/dev/null 2>&1
expect "installed again" 0 $?
expect "… with the same keyring" "$sum" "$(machine sha256sum /var/lib/suiftly/keyring.toml)"
machine sh -c 'printf "SUIFTLY_EDGE_CERT=/etc/suiftly/edge.pem\n" >>/etc/suiftly/edge.env; systemctl --quiet enable --now suiftly-edge' 2>/dev/null
expect "… the old key is served" yes "$(within 10 serves)"
expect "… and the revoked one is not" 401 "$(status "$second")"

if [ $FAILED -eq 0 ]; then echo "all steps are as they should be"; else echo "$FAILED steps failed"; fi
[ $FAILED -eq 0 ]
