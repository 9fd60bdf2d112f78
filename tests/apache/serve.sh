#!/bin/sh
# Runs Apache with PHP in the foreground, as the web server of one node. For [lab.run] of a cluster file.
#
# Environment, given by the lab:
#   RELEVO_NODE      the node's name (default: the host name)
#   RELEVO_SERVER    the server's name: the node's, with the port where it has several (default: the node's)
#   RELEVO_PORT      where to listen (default 80)
#   RELEVO_ADDRESS   the node's address (default: every address)
# And if wished:
#   RELEVO_APACHE    folder for pid, lock and log files (default: one for this server under /run/relevo)
#
# Needs the Debian packages apache2 and libapache2-mod-php, and root: Apache gives its privileges away itself.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
RELEVO_NODE=${RELEVO_NODE:-$(hostname)}
RELEVO_ADDRESS=${RELEVO_ADDRESS:-0.0.0.0}
RELEVO_PORT=${RELEVO_PORT:-80}
RELEVO_SERVER=${RELEVO_SERVER:-$RELEVO_NODE}
RELEVO_APACHE=${RELEVO_APACHE:-/run/relevo/apache-$RELEVO_NODE-$RELEVO_PORT}
RELEVO_PAGES=$RELEVO_APACHE/pages
export RELEVO_NODE RELEVO_SERVER RELEVO_ADDRESS RELEVO_PORT RELEVO_APACHE RELEVO_PAGES

command -v apache2 >/dev/null || PATH=$PATH:/usr/sbin
if ! command -v apache2 >/dev/null; then
    echo "serve.sh: no apache2: install the Debian packages apache2 and libapache2-mod-php" >&2
    exit 2
fi
RELEVO_PHP=$(ls /usr/lib/apache2/modules/libphp*.so 2>/dev/null | tail -n 1)
if [ -z "$RELEVO_PHP" ]; then
    echo "serve.sh: no PHP module for Apache: install the Debian package libapache2-mod-php" >&2
    exit 2
fi
export RELEVO_PHP

# A copy: Apache's user may not be allowed into the folder of the sources.
mkdir -p "$RELEVO_PAGES"
cp "$here"/pages/* "$RELEVO_PAGES"
chmod -R a+rX "$RELEVO_APACHE"
# A pid file that a killed Apache left may name another process by now.
rm -f "$RELEVO_APACHE/pid"
exec apache2 -f "$here/apache.conf" -D FOREGROUND
