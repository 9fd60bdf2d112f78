#!/bin/sh
# How long a client gets no answer when the address moves: Relevo and keepalived + HAProxy, in turn, in one topology.
#
#   client ── public ──┬── bal1 ──┬── internal ── serv1, serv2, serv3
#                      └── bal2 ──┘
#
#   kill -9 of all processes of the active director, children before their parents (so no keepalived says goodbye):
#     relevo-100ms        adverts every 100 ms, the default                 goal: median 400 ms
#     relevo-bfd          the same, and BFD every 10 ms, 5 lost             goal: median 80 ms
#     relevo-10ms         adverts every 10 ms                               goal: median 80 ms
#     keepalived-100ms    keepalived (VRRP version 3) and HAProxy
#     keepalived-10ms     the same, with the shortest adverts that it takes
#   the operator moves the address, while 1,000 new connections come in a second:
#     relevo-planned      relevo switchover                                 goal: median 50 ms, none lost
#     keepalived-planned  keepalived is told to end (SIGTERM), HAProxy goes on
#
# Usage: tests/peers/takeover.sh [OPTION...]
#   --repeat N          runs of each, 1 to 100 (default 20)
#   --only NAME,NAME    only these of the seven
#   --json FILE         write all figures there (default: target/takeover.json)
#
# In each round every one has its turn with freshly started software; a run takes about 8 s.
# Environment: RELEVO, the program (default: target/release/relevo, built if it is missing).
#
# Needs root, and the Debian packages haproxy, keepalived, iproute2 and curl. Everything runs in namespaces of its own (network, mount
# and process ids): when the script ends, however it ends, nothing is left.
set -eu

all=relevo-100ms,keepalived-100ms,relevo-bfd,relevo-10ms,keepalived-10ms,relevo-planned,keepalived-planned
repeat=20 only=$all json=
wrong() {
    echo "takeover.sh: $1" >&2
    exit 2
}
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || case $1 in -h | --help) ;; *) wrong "$1 needs a value (see --help)" ;; esac
    case $1 in
        --repeat) repeat=$2 && shift 2 ;;
        --only) only=$2 && shift 2 ;;
        --json) json=$2 && shift 2 ;;
        -h | --help) sed -n '2,/^set -eu/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
        *) wrong "$1 is no option (see --help)" ;;
    esac
done
case $repeat in *[!0-9]* | '') wrong "--repeat $repeat: a whole number from 1 to 100" ;; esac
[ "$repeat" -ge 1 ] && [ "$repeat" -le 100 ] || wrong "--repeat $repeat: a whole number from 1 to 100"
contestants=$(echo "$only" | tr , ' ')
for one in $contestants; do
    case ,$all, in *,"$one",*) ;; *) wrong "--only $one: there are $all" ;; esac
done

PATH=$PATH:/usr/sbin:/sbin
root=$(cd "$(dirname "$0")/../.." && pwd)

# First pass: outside. Builds, and starts this script again in namespaces of its own.
if [ -z "${RELEVO_PEERS_INSIDE:-}" ]; then
    [ "$(id -u)" = 0 ] || wrong "it makes namespaces and needs root"
    for tool in haproxy keepalived ip curl unshare nsenter; do
        command -v $tool >/dev/null || wrong "no $tool: install the Debian packages haproxy, keepalived, iproute2, curl, util-linux"
    done
    target=${CARGO_TARGET_DIR:-$root/target}
    if [ -z "${RELEVO:-}" ]; then
        (cd "$root" && cargo build --quiet --release --package relevo)
        RELEVO=$target/release/relevo
    fi
    [ -x "$RELEVO" ] || wrong "RELEVO=$RELEVO is no program"
    (cd "$root" && cargo build --quiet --package relevo-lab --example peer_report)
    RELEVO_PEERS_REPORT=$target/debug/examples/peer_report
    json=${json:-$target/takeover.json}
    : >"$json" || wrong "--json $json: cannot be written"
    json=$(cd "$(dirname "$json")" && pwd)/$(basename "$json")
    export RELEVO RELEVO_PEERS_REPORT
    exec unshare --mount --net --uts --pid --fork --kill-child --mount-proc \
        env RELEVO_PEERS_INSIDE=1 "$0" --repeat "$repeat" --only "$only" --json "$json"
fi

# Second pass: inside. PID 1 of its own process tree; the network is empty. Results go to where they were before /run is another.
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/peers /run/relevo
cd /run/peers
. "$root/tests/peers/common.sh"

topology

# ---------------------------------------------------------------------------------------------- software

haproxy_file http >haproxy.cfg

keepalived_file() { # priority, interval
    cat <<END
global_defs {
    vrrp_version 3
}
vrrp_instance web {
    state BACKUP
    nopreempt
    interface public
    virtual_router_id 12
    priority $1
    advert_int $2
    virtual_ipaddress {
        $vip/32
    }
}
END
}

relevo_file() { # what the group says besides
    awk -v more="$1" '{ print } $0 == "[group.web]" { print more }' "$root/tests/peers/relevo.toml"
}
relevo_file 'advert = "100ms"' >relevo-100ms.toml
relevo_file 'advert = "100ms"' >relevo-planned.toml
relevo_file 'advert = "10ms"' >relevo-10ms.toml
relevo_file 'advert = "100ms"
bfd = { interval = "10ms", multiplier = 5 }' >relevo-bfd.toml

start() { # contestant, director, priority
    case $1 in
        relevo-*)
            mkdir -p "state-$2" "run-$2"
            in_node "$2" "$RELEVO" node run --file "$1.toml" --name "$2" --run-dir "run-$2" --state-dir "state-$2" >"$2.log" 2>&1 &
            ;;
        keepalived-*)
            interval=0.1
            [ "$1" != keepalived-10ms ] || interval=0.01
            keepalived_file "$3" $interval >"keepalived-$2.conf"
            in_node "$2" haproxy -db -f haproxy.cfg >"haproxy-$2.log" 2>&1 &
            in_node "$2" keepalived --dont-fork --log-console --vrrp --use-file "keepalived-$2.conf" \
                --pid "keepalived-$2.pid" --vrrp_pid "vrrp-$2.pid" >"$2.log" 2>&1 &
            ;;
    esac
}

give_up() {
    echo "takeover.sh: $1" >&2
    tail -n 20 bal?.log haproxy-bal?.log >&2
    exit 1
}

# Waits until exactly one director has the address, and the service answers the client; sets `active`.
ready() { # contestant
    tries=0 active=
    until [ -n "$active" ] && in_node client curl --silent --fail --max-time 1 --output /dev/null http://$vip:8000/; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || give_up "$1: nobody serves within 20 s"
        sleep 0.1
        active=
        if holds bal1 && ! holds bal2; then active=bal1; fi
        if holds bal2 && ! holds bal1; then active=bal2; fi
    done
    # Sessions of BFD, checks of servers.
    sleep 2
}

stop_all() {
    for director in bal1 bal2; do
        victims=$(ip netns pids $director)
        # shellcheck disable=SC2086 # several ids
        [ -z "$victims" ] || kill -9 $victims 2>/dev/null || true
        in_node $director ip address del $vip/32 dev public 2>/dev/null || true
        rm -rf "state-$director" "run-$director" "keepalived-$director.pid" "vrrp-$director.pid"
    done
    wait_gone=0
    while [ -n "$(ip netns pids bal1)$(ip netns pids bal2)" ]; do
        wait_gone=$((wait_gone + 1))
        [ $wait_gone -lt 100 ] || give_up "processes do not end"
        sleep 0.05
    done
    in_node client ip neighbour flush all
}

strike() { # contestant
    case $1 in
        relevo-planned) "$RELEVO" switchover web --run-dir "run-$active" >switchover.log 2>&1 || give_up "$(cat switchover.log)" ;;
        keepalived-planned) kill "$(cat "keepalived-$active.pid")" ;;
        # shellcheck disable=SC2086 # several ids
        *) cut_power $2 ;;
    esac
}

# ---------------------------------------------------------------------------------------------- a run

one_run() { # contestant, number
    folder=$results/$1/$2
    mkdir -p "$folder"
    echo $vip >"$folder/address"
    start "$1" bal1 150
    start "$1" bal2 100
    ready "$1"
    interval=10
    case $1 in *-planned) interval=1 ;; esac
    rm -f stop && mkfifo stop
    for director in bal1 bal2; do
        in_node $director "$RELEVO" drill watch --node $director --address $vip <stop >"$folder/watch-$director" &
    done
    in_node client "$RELEVO" drill probe --target $vip:8000 --interval-ms $interval <stop >"$folder/probe" &
    exec 9>stop
    sleep 1
    marks=$("$RELEVO_PEERS_REPORT" now)
    sleep 0.3
    # The watches have left the node's namespaces: only the director's own processes are found there.
    victims=$(ip netns pids "$active")
    marks="$marks $("$RELEVO_PEERS_REPORT" now)"
    strike "$1" "$victims"
    sleep 1.5
    echo "$marks $("$RELEVO_PEERS_REPORT" now)" >"$folder/marks"
    exec 9>&-
    # The probe waits for the answers that are still due.
    sleep 2.3
    stop_all
}

for number in $(seq "$repeat"); do
    for contestant in $contestants; do
        one_run "$contestant" "$number"
        echo "round $number of $repeat: $contestant" >&2
    done
done
echo "$("$RELEVO" --version); $(keepalived --version 2>&1 | head -n 1); $(haproxy -v | head -n 1); Linux $(uname -r)"
for contestant in $contestants; do
    case $contestant in
        relevo-100ms) goal=400 ;;
        relevo-bfd | relevo-10ms) goal=80 ;;
        relevo-planned) goal=50 ;;
        *) goal=- ;;
    esac
    set -- "$@" "$contestant:$goal:$results/$contestant"
done
"$RELEVO_PEERS_REPORT" table "$json" "$@"
