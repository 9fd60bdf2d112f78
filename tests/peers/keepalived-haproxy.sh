#!/bin/sh
# The drill `director-crash`, played on real keepalived and HAProxy, measured by Relevo's own probe.
#
#   client ── public ──┬── bal1 ──┬── internal ── serv1, serv2, serv3
#                      └── bal2 ──┘
#
# Usage: tests/peers/keepalived-haproxy.sh [OPTION...]
#   --repeat N          runs, 1 to 100 (default 5)
#   --advert TIME       keepalived's adverts: 1s (default, VRRP version 2, as in most installations) or 100ms (version 3)
#   --fault kill        kill -9 of all processes of the active director (default). keepalived leaves the address on
#                       the machine then: two machines have it.
#   --fault unplug      the active director's cable on the public network is pulled, as if the machine had died
#   --with relevo       then the same fault on Relevo in the same topology
#
# Environment: RELEVO, the program (default: target/release/relevo, built if it is missing).
#
# Needs root, and the Debian packages haproxy, keepalived, iproute2 and curl. Everything runs in namespaces of its own (network, mount
# and process ids): when the script ends, however it ends, nothing is left.
set -eu

repeat=5 advert=1s fault=kill with=
wrong() {
    echo "keepalived-haproxy.sh: $1" >&2
    exit 2
}
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || case $1 in -h | --help) ;; *) wrong "$1 needs a value (see --help)" ;; esac
    case $1 in
        --repeat) repeat=$2 && shift 2 ;;
        --advert) advert=$2 && shift 2 ;;
        --fault) fault=$2 && shift 2 ;;
        --with) with=$2 && shift 2 ;;
        -h | --help) sed -n '2,/^set -eu/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
        *) wrong "$1 is no option (see --help)" ;;
    esac
done
case $repeat in *[!0-9]* | '') wrong "--repeat $repeat: a whole number from 1 to 100" ;; esac
[ "$repeat" -ge 1 ] && [ "$repeat" -le 100 ] || wrong "--repeat $repeat: a whole number from 1 to 100"
case $advert in 1s | 100ms) ;; *) wrong "--advert $advert: 1s or 100ms" ;; esac
case $fault in kill | unplug) ;; *) wrong "--fault $fault: kill or unplug" ;; esac
case $with in '' | relevo) ;; *) wrong "--with $with: relevo" ;; esac

PATH=$PATH:/usr/sbin:/sbin
root=$(cd "$(dirname "$0")/../.." && pwd)

# First pass: outside. Builds, and starts this script again in namespaces of its own.
if [ -z "${RELEVO_PEERS_INSIDE:-}" ]; then
    [ "$(id -u)" = 0 ] || wrong "it makes namespaces and needs root"
    for tool in haproxy keepalived ip curl unshare; do
        command -v $tool >/dev/null || wrong "no $tool: install the Debian packages haproxy, keepalived, iproute2, curl, util-linux"
    done
    if [ -z "${RELEVO:-}" ]; then
        (cd "$root" && cargo build --quiet --release --package relevo)
        RELEVO=${CARGO_TARGET_DIR:-$root/target}/release/relevo
    fi
    [ -x "$RELEVO" ] || wrong "RELEVO=$RELEVO is no program"
    (cd "$root" && cargo build --quiet --package relevo-lab --example peer_report)
    RELEVO_PEERS_REPORT=${CARGO_TARGET_DIR:-$root/target}/debug/examples/peer_report
    export RELEVO RELEVO_PEERS_REPORT
    unshare --mount --net --uts --pid --fork --kill-child --mount-proc \
        env RELEVO_PEERS_INSIDE=1 "$0" --repeat "$repeat" --advert "$advert" --fault "$fault"
    if [ "$with" = relevo ]; then
        drill=director-crash
        [ "$fault" = kill ] || drill=director-unplug
        echo
        "$RELEVO" --version
        unshare --mount --net sh -euc '
            mount -t tmpfs tmpfs /run
            ip link set lo up
            exec "$RELEVO" drill run "$1" --repeat "$2" --file "$3"
        ' relevo "$drill" "$repeat" "$root/tests/peers/relevo.toml"
    fi
    exit 0
fi

# Second pass: inside. PID 1 of its own process tree; the network is empty.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/peers
cd /run/peers
. "$root/tests/peers/common.sh"

topology

# ---------------------------------------------------------------------------------------------- software

haproxy_file http >haproxy.cfg

version=2 interval=1 settle=8
if [ "$advert" = 100ms ]; then
    version=3 interval=0.1 settle=4
fi

keepalived_file() { # priority
    cat <<END
global_defs {
    vrrp_version $version
}
vrrp_instance web {
    state BACKUP
    nopreempt
    interface public
    virtual_router_id 12
    priority $1
    advert_int $interval
    virtual_ipaddress {
        $vip/32
    }
}
END
}
keepalived_file 150 >keepalived-bal1.conf
keepalived_file 100 >keepalived-bal2.conf

start() { # director
    in_node "$1" haproxy -db -f haproxy.cfg >"haproxy-$1.log" 2>&1 &
    in_node "$1" keepalived --dont-fork --log-console --vrrp --use-file "keepalived-$1.conf" \
        --pid "keepalived-$1.pid" --vrrp_pid "vrrp-$1.pid" >"keepalived-$1.log" 2>&1 &
}

# ---------------------------------------------------------------------------------------------- the drill

one_run() { # folder
    mkdir "$1"
    echo $vip >"$1/address"
    settled
    serving
    mkfifo "$1/stop"
    for director in bal1 bal2; do
        in_node $director "$RELEVO" drill watch --node $director --address $vip <"$1/stop" >"$1/watch-$director" &
    done
    in_node client "$RELEVO" drill probe --target $vip:8000 <"$1/stop" >"$1/probe" &
    exec 9>"$1/stop"
    # Probes that steadily answer, before anything happens.
    sleep 1
    marks=$("$RELEVO_PEERS_REPORT" now)
    sleep 0.5
    # The watches have left the node's namespaces: only the director's own processes are found there.
    victims=$(ip netns pids "$active")
    marks="$marks $("$RELEVO_PEERS_REPORT" now)"
    if [ "$fault" = kill ]; then
        # shellcheck disable=SC2086 # several ids
        cut_power $victims
    else
        ip link set "$active-public" down
    fi
    sleep $settle
    echo "$marks $("$RELEVO_PEERS_REPORT" now)" >"$1/marks"
    exec 9>&-
    # The probe waits for the answers that are still due.
    sleep 2.5
    # Undo: a machine that starts again has no virtual address.
    if [ "$fault" = kill ]; then
        in_node "$active" ip address del $vip/32 dev public 2>/dev/null || true
        start "$active"
    else
        ip link set "$active-public" up
    fi
    sleep 2
    echo "run $1 of $repeat: $active" >&2
}

start bal1
start bal2
for number in $(seq "$repeat"); do
    one_run "$number"
done
echo "$(keepalived --version 2>&1 | head -n 1), adverts every $advert; $(haproxy -v | head -n 1); Linux $(uname -r)"
# shellcheck disable=SC2046 # several folders
"$RELEVO_PEERS_REPORT" report "keepalived-haproxy $fault" $(seq "$repeat")
