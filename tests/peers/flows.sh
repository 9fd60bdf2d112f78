#!/bin/sh
# Long connections while their director goes: keepalived with HAProxy (mode tcp), keepalived with DNAT of nftables, and
# Relevo, with the same topology, the same clients and the same faults.
#
#   client ── public ──┬── bal1 ──┬── internal ── serv1, serv2, serv3
#                      └── bal2 ──┘
#
# Usage: tests/peers/flows.sh [OPTION...]
#   --repeat N          runs of each, 1 to 100 (default 3)
#   --flows N           connections, 4 to 2000 (default 120): a quarter downloads, a quarter uploads, half that ask now and then
#   --fault unplug      the active director's cable on the public network is pulled (default)
#   --fault kill        kill -9 of all processes of the active director
#   --fault planned     the operator moves the address: keepalived is stopped by SIGTERM, `relevo switchover`
#   --with NAMES        which, separated by commas (default haproxy,dnat,relevo)
#
# Relevo's runs are the drills flows-unplug, flows-survive and flows-switchover: there the table of servers changes at the same
# moment, too, which the others are spared. Adverts come every 100 ms everywhere.
#
# Environment: RELEVO, the program (default: target/release/relevo, built if it is missing).
#
# Needs root, and the Debian packages haproxy, keepalived, nftables, iproute2 and curl. Everything runs in namespaces of its own: when
# the script ends, however it ends, nothing is left.
set -eu

repeat=3 flows=120 fault=unplug with=haproxy,dnat,relevo
wrong() {
    echo "flows.sh: $1" >&2
    exit 2
}
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || case $1 in -h | --help) ;; *) wrong "$1 needs a value (see --help)" ;; esac
    case $1 in
        --repeat) repeat=$2 && shift 2 ;;
        --flows) flows=$2 && shift 2 ;;
        --fault) fault=$2 && shift 2 ;;
        --with) with=$2 && shift 2 ;;
        -h | --help) sed -n '2,/^set -eu/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
        *) wrong "$1 is no option (see --help)" ;;
    esac
done
number() { # name, value, least, most
    case $2 in *[!0-9]* | '' | ?????*) wrong "--$1 $2: a whole number from $3 to $4" ;; esac
    [ "$2" -ge "$3" ] && [ "$2" -le "$4" ] || wrong "--$1 $2: a whole number from $3 to $4"
}
number repeat "$repeat" 1 100
number flows "$flows" 4 2000
case $fault in kill) drill=flows-survive ;; unplug) drill=flows-unplug ;; planned) drill=flows-switchover ;; *) wrong "--fault $fault: unplug, kill or planned" ;; esac
for name in $(echo "$with" | tr , ' '); do
    case $name in haproxy | dnat | relevo) ;; *) wrong "--with $name: haproxy, dnat or relevo" ;; esac
done

PATH=$PATH:/usr/sbin:/sbin
root=$(cd "$(dirname "$0")/../.." && pwd)

# First pass: outside. Builds, and starts this script again in namespaces of its own, once for each.
if [ -z "${RELEVO_PEERS_INSIDE:-}" ]; then
    [ "$(id -u)" = 0 ] || wrong "it makes namespaces and needs root"
    for tool in haproxy keepalived nft ip curl unshare; do
        command -v $tool >/dev/null || wrong "no $tool: install the Debian packages haproxy, keepalived, nftables, iproute2, curl, util-linux"
    done
    if [ -z "${RELEVO:-}" ]; then
        (cd "$root" && cargo build --quiet --release --package relevo)
        RELEVO=${CARGO_TARGET_DIR:-$root/target}/release/relevo
    fi
    [ -x "$RELEVO" ] || wrong "RELEVO=$RELEVO is no program"
    export RELEVO
    echo "$(keepalived --version 2>&1 | head -n 1); $(haproxy -v | head -n 1); $("$RELEVO" --version); Linux $(uname -r)"
    echo "$flows connections, fault $fault"
    for name in $(echo "$with" | tr , ' '); do
        if [ "$name" = relevo ]; then
            # One line a run, with what of it matters here.
            unshare --mount --net sh -euc '
                mount -t tmpfs tmpfs /run
                ip link set lo up
                "$RELEVO" drill run "$1" --repeat "$2" --flows "$3" --file "$4" 2>&1 || true
            ' relevo "$drill" "$repeat" "$flows" "$root/tests/peers/relevo-flows.toml" |
                sed -n 's/^ *run \([0-9]*\): .* kept: \(lost .*\)$/relevo   run \1: \2/p'
        else
            unshare --mount --net --uts --pid --fork --kill-child --mount-proc \
                env RELEVO_PEERS_INSIDE="$name" "$0" --repeat "$repeat" --flows "$flows" --fault "$fault"
        fi
    done
    exit 0
fi

# Second pass: inside. PID 1 of its own process tree; the network is empty.
peer=$RELEVO_PEERS_INSIDE
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/peers
cd /run/peers
gateway=10.0.0.254
. "$root/tests/peers/common.sh"

topology $gateway

haproxy_file tcp >haproxy.cfg
cat >dnat.nft <<END
table ip farm {
    chain prerouting {
        type nat hook prerouting priority dstnat;
        ip daddr $vip tcp dport 8000 dnat to jhash ip saddr . tcp sport mod 3 map { 0 : 10.0.0.1, 1 : 10.0.0.2, 2 : 10.0.0.3 } : 80
    }
}
END
instance() { # name, interface, router, priority, address
    cat <<END
vrrp_instance $1 {
    state BACKUP
    nopreempt
    interface $2
    virtual_router_id $3
    priority $4
    advert_int 0.1
    virtual_ipaddress {
        $5/32 dev $2
    }
}
END
}
keepalived_file() { # priority
    printf 'global_defs {\n    vrrp_version 3\n}\nvrrp_sync_group all {\n    group {\n        web\n        inside\n    }\n}\n'
    instance web public 12 "$1" $vip
    instance inside internal 13 "$1" $gateway
}
keepalived_file 150 >keepalived-bal1.conf
keepalived_file 100 >keepalived-bal2.conf

# The director's kernel keeps its rules when processes die.
for director in bal1 bal2; do
    [ "$peer" = haproxy ] || {
        in_node $director sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
        in_node $director nft -f dnat.nft
    }
done

start() { # director
    [ "$peer" != haproxy ] || in_node "$1" haproxy -db -f haproxy.cfg >"haproxy-$1.log" 2>&1 &
    in_node "$1" keepalived --dont-fork --log-console --vrrp --use-file "keepalived-$1.conf" \
        --pid "keepalived-$1.pid" --vrrp_pid "vrrp-$1.pid" >"keepalived-$1.log" 2>&1 &
}

field() { # name, text
    echo "$2" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"
}

one_run() { # number
    settled
    serving
    mkfifo "stop$1"
    bulk=$((flows / 4))
    in_node client "$RELEVO" drill flows --target $vip:8000 --downloads $bulk --uploads $bulk --kept $((flows - 2 * bulk)) \
        <"stop$1" >"flows$1" &
    client=$!
    exec 9>"stop$1"
    for _ in $(seq 300); do
        ! grep -q ready "flows$1" || break
        sleep 0.1
    done
    grep -q ready "flows$1" || {
        echo "not all connections came about" >&2
        exit 1
    }
    sleep 1
    case $fault in
        kill)
            # shellcheck disable=SC2046 # several ids
            cut_power $(ip netns pids "$active")
            ;;
        unplug) ip link set "$active-public" down ;;
        # keepalived alone, as its stop does: HAProxy stays.
        planned) kill -TERM "$(cat "keepalived-$active.pid")" ;;
    esac
    sleep 6
    exec 9>&-
    wait $client || true
    told=$(grep '"end"' "flows$1" | sed 's/"servers":{.*//')
    echo "$(printf '%-8s' "$peer") run $1: lost $(field lost "$told") of $flows, reset $(field reset "$told"), wrong $(field wrong "$told"), longest stall $(field longest_ms "$told") ms"
    # Undo: a machine that starts again has no virtual address.
    case $fault in
        kill)
            in_node "$active" ip address del $vip/32 dev public 2>/dev/null || true
            in_node "$active" ip address del $gateway/32 dev internal 2>/dev/null || true
            start "$active"
            ;;
        unplug) ip link set "$active-public" up ;;
        planned)
            # shellcheck disable=SC2046 # several ids
            [ "$peer" != haproxy ] || kill -9 $(ip netns pids "$active") 2>/dev/null || true
            sleep 1
            start "$active"
            ;;
    esac
    sleep 2
}

start bal1
start bal2
for number in $(seq "$repeat"); do
    one_run "$number"
done
