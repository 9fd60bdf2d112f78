# What the comparisons of this folder share: a topology out of network namespaces, and HAProxy's file. They read it inside of
# namespaces of their own, in a folder where they may write; RELEVO is the program.
#
#   client ── public ──┬── bal1 ──┬── internal ── serv1, serv2, serv3
#                      └── bal2 ──┘

vip=172.16.1.254

in_node() {
    node=$1
    shift
    ip netns exec "$node" "$@"
}

plug() { # node, network, address
    ip link add "$2" netns "$1" type veth peer name "$1-$2"
    ip link set "$1-$2" master "$2" up
    in_node "$1" ip address add "$3/24" dev "$2"
    in_node "$1" ip link set "$2" up
}

topology() { # router of the servers, or nothing
    for network in public internal; do
        ip link add "$network" type bridge
        ip link set "$network" up
    done
    for node in bal1 bal2 serv1 serv2 serv3 client; do
        ip netns add $node
        in_node $node ip link set lo up
    done
    plug bal1 public 172.16.1.250 && plug bal1 internal 10.0.0.250
    plug bal2 public 172.16.1.251 && plug bal2 internal 10.0.0.251
    plug client public 172.16.1.100
    for number in 1 2 3; do
        plug serv$number internal 10.0.0.$number
        [ $# = 0 ] || in_node serv$number ip route add default via "$1"
        in_node serv$number "$RELEVO" origin --name serv$number --listen 10.0.0.$number:80 >serv$number.log 2>&1 &
    done
}

haproxy_file() { # http or tcp
    cat <<END
global
    maxconn 5000
defaults
    mode $1
    timeout connect 1s
    timeout client 60s
    timeout server 60s
frontend web
    bind *:8000
    default_backend farm
backend farm
    balance roundrobin
    default-server check inter 1s rise 2 fall 2
    server serv1 10.0.0.1:80
    server serv2 10.0.0.2:80
    server serv3 10.0.0.3:80
END
    [ "$1" = tcp ] || cat <<END
    option forwardfor
    option httpchk GET /
    timeout check 500ms
END
}

# Ends processes as a power cut would: nobody says goodbye. keepalived's child hears of its parent's end (SIGTERM) and sends an
# advert of priority 0, so children go before their parents.
cut_power() { # process ids
    # shellcheck disable=SC2046 # several ids
    kill -9 $(printf '%s\n' "$@" | sort -rn)
}

holds() { # director
    [ -n "$(in_node "$1" ip -oneline address show to $vip)" ]
}

# Waits until exactly one director has the address; sets `active` and `other`.
settled() {
    for _ in $(seq 200); do
        if holds bal1 && ! holds bal2; then
            active=bal1 other=bal2
            return
        elif holds bal2 && ! holds bal1; then
            active=bal2 other=bal1
            return
        fi
        sleep 0.1
    done
    echo "nobody, or more than one, became active within 20 s" >&2
    tail -n 20 keepalived-*.log >&2
    exit 1
}

# Waits until the service answers the client.
serving() {
    for _ in $(seq 100); do
        if in_node client curl --silent --fail --max-time 1 --output /dev/null http://$vip:8000/; then
            return
        fi
        sleep 0.1
    done
    echo "no answer from http://$vip:8000/ within 10 s or more" >&2
    exit 1
}
