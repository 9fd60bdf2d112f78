#!/bin/sh
# Installs Debian packages that are missing, and says which. Usage: scripts/need.sh PACKAGE...
#
# Nothing is started: what a package would start by itself (a web server on port 80, say) is held back while
# it is being installed.
set -eu

missing=""
for package in "$@"; do
    if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]; then
        missing="$missing $package"
    fi
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "need.sh: these packages are missing, and this is not Debian:$missing" >&2
    exit 2
fi
as_root=""
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "need.sh: missing packages; as root run: apt-get install$missing" >&2
        exit 2
    fi
    as_root="sudo"
fi

echo "installing from Debian:$missing"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
    trap '$as_root rm -f "$policy"' EXIT
fi
log=$(mktemp)
if ! { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    exit 1
fi
rm -f "$log"
