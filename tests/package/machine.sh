# A machine for one test: this system's files under an overlay that vanishes, with a systemd of its own as process 1, its
# own network, processes and users' files. Nothing that happens in it reaches the system around it. Sourced; needs root.

MACHINE_LAUNCHER=   # pid of `unshare`, whose death ends the machine
MACHINE_INIT=       # pid, seen from outside, of the machine's process 1
MACHINE_ROOT=       # where its root is mounted, in its own mount namespace
MACHINE_CGROUP=

# What the machine's first process does; runs in the new namespaces.
machine_boot() {
    local root=$MACHINE_ROOT/root node
    mount -t tmpfs tmpfs "$MACHINE_ROOT"
    mkdir "$MACHINE_ROOT/upper" "$MACHINE_ROOT/work" "$root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$MACHINE_ROOT/upper,workdir=$MACHINE_ROOT/work" "$root"
    mount -t proc proc "$root/proc"
    # Kernel settings are not the machine's own: read-only, so that systemd leaves them alone.
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,bind,ro "$root/proc/sys"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    for node in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$node"; done
    chmod 1777 "$root/tmp"
    for node in null zero full random urandom tty; do
        : >"$root/dev/$node"
        mount --bind "/dev/$node" "$root/dev/$node"
    done
    mkdir "$root/dev/shm" "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    mount -t tmpfs tmpfs "$root/dev/shm"
    ip link set lo up
    # Boots to nothing but systemd itself and its journal: none of this system's services.
    printf '[Unit]\nDescription=Nothing but what the test starts\nRequires=basic.target\nAfter=basic.target\n' \
        >"$root/etc/systemd/system/machine.target"
    mkdir "$root/machine"
    cp "$MACHINE_FILES"/* "$root/machine/"
    cd "$root"
    mkdir outside
    pivot_root . outside
    umount -l outside
    exec /usr/bin/env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --unit=machine.target --log-target=journal --show-status=0
}

# machine_start FOLDER: boots; the files of FOLDER are in /machine.
machine_start() {
    local unified
    MACHINE_ROOT=$(mktemp -d "${TMPDIR:-/tmp}/machine.XXXXXX")
    # systemd makes groups below the one it starts in; this one is removed afterwards.
    unified=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    if [ -z "$unified" ]; then echo "no cgroup2 file system is mounted: systemd cannot run" >&2; return 1; fi
    MACHINE_CGROUP=$unified/machine.$$
    mkdir "$MACHINE_CGROUP"
    export MACHINE_ROOT MACHINE_FILES=$1
    export -f machine_boot
    (
        echo "$BASHPID" >"$MACHINE_CGROUP/cgroup.procs"
        exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child --propagation private \
            bash -c 'set -e; machine_boot' </dev/null
    ) >"$MACHINE_ROOT.log" 2>&1 &
    MACHINE_LAUNCHER=$!
    local deadline=$((SECONDS + 30)) state
    while [ $SECONDS -lt $deadline ] && kill -0 $MACHINE_LAUNCHER 2>/dev/null; do
        MACHINE_INIT=$(pgrep -P $MACHINE_LAUNCHER | head -n 1)
        if [ -n "$MACHINE_INIT" ] && [ "$(cat "/proc/$MACHINE_INIT/comm")" = systemd ]; then
            state=$(machine systemctl is-active machine.target 2>/dev/null || true)
            [ "$state" = active ] && return 0
        fi
        sleep 0.2
    done
    echo "the machine did not boot:" >&2
    tail -n 20 "$MACHINE_ROOT.log" >&2
    return 1
}

# machine COMMAND ...: runs a command in it, as root.
machine() {
    nsenter -t "$MACHINE_INIT" --mount --uts --ipc --net --pid --cgroup --root --wdns=/ \
        /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@" </dev/null
}

machine_stop() {
    # Its process 1 takes everything in it along.
    [ -n "$MACHINE_LAUNCHER" ] && kill -KILL "$MACHINE_LAUNCHER" 2>/dev/null
    wait "$MACHINE_LAUNCHER" 2>/dev/null
    local tries
    for tries in 1 2 3 4 5 6 7 8 9 10; do
        find "$MACHINE_CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null
        [ -d "$MACHINE_CGROUP" ] || break
        sleep 0.2
    done
    rm -f "$MACHINE_ROOT.log"
    rmdir "$MACHINE_ROOT" 2>/dev/null
    return 0
}
