#!/bin/sh
# Minutes of CPU stalls on a real machine: all cores busy, and the directors' processes held up now and then, never for
# as long as their peers wait. Nobody may take over for that. As root:
#
#   scripts/cpu-stall.sh [SECONDS [RELEVO [CLUSTER-FILE]]]
#
# It builds a lab of its own and takes it down again. Prints what happened; ends with 1 if an address moved.
set -eu
seconds=${1:-120}
relevo=${2:-target/release/relevo}
file=${3:-examples/minimal.toml}
folder=$(mktemp -d "${TMPDIR:-/tmp}/relevo-stall-XXXXXX")
export RELEVO_LAB_DIR="$folder"
loads=
end() {
    for pid in $loads; do kill "$pid" 2>/dev/null || true; done
    "$relevo" lab down >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 1' INT TERM

"$relevo" lab up "$file" >/dev/null
# NODE PID TRANSITIONS STATE of each director.
look() {
    for node in lb1 lb2; do
        "$relevo" lab exec "$node" -- "$relevo" --json status >"$folder/status.json"
        python3 - "$node" "$folder/status.json" <<'PY'
import json, sys
status = json.load(open(sys.argv[2]))
pid = status.get("pid") or status["node"]["pid"]
group = status["groups"][0]
print(sys.argv[1], pid, group["transitions"], group["state"])
PY
    done
}
tries=0
until look 2>/dev/null | grep active >/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { echo "no director becomes active"; exit 1; }
    sleep 0.2
done
sleep 3
before=$(look)
echo "before:"; echo "$before"
cores=$(nproc)
for _ in $(seq $((cores * 2))); do
    sh -c 'while :; do :; done' &
    loads="$loads $!"
done
echo "$((cores * 2)) busy loops on $cores cores for $seconds s"
# The stalls: 10 to 150 ms of each director, in random order. Active_Down is 361 ms with adverts of 100 ms.
cat >"$folder/stall.py" <<'PY'
import os, random, signal, sys, time
seconds, pids = float(sys.argv[1]), [int(pid) for pid in sys.argv[2:]]
for pid in pids:
    with open(f"/proc/{pid}/comm") as comm:
        assert comm.read().startswith("relevo"), f"{pid} is no director"
# Prompt, so that a stall is not longer than it shall be: this is not what is tested.
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
except PermissionError:
    pass
random.seed(7)
end, count, longest, total = time.monotonic() + seconds, 0, 0.0, 0.0
# A process that goes on has to wait for a core first, with everybody else: it is left alone for a while, or two stalls would be
# one that is as long as both.
rested = dict.fromkeys(pids, 0.0)
while time.monotonic() < end:
    begin = time.monotonic()
    ready = [pid for pid in pids if rested[pid] <= begin]
    if not ready:
        time.sleep(0.005)
        continue
    pid = random.choice(ready)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(random.uniform(0.010, 0.150))
    os.kill(pid, signal.SIGCONT)
    took = time.monotonic() - begin
    longest, total, count = max(longest, took), total + took, count + 1
    rested[pid] = time.monotonic() + 0.2
    time.sleep(random.uniform(0.005, 0.100))
print(f"{count} stalls, {total:.0f} s of them, the longest {longest * 1000:.0f} ms", flush=True)
PY
# Process ids are those of the lab.
pids=$(echo "$before" | cut -d' ' -f2)
# shellcheck disable=SC2086
"$relevo" lab exec lb1 -- python3 "$folder/stall.py" "$seconds" $pids
after=$(look)
echo "after:"; echo "$after"
if [ "$before" = "$after" ]; then
    echo "nothing moved"
else
    echo "an address moved, or a director changed its state"
    for node in lb1 lb2; do
        "$relevo" lab exec "$node" -- "$relevo" status
        "$relevo" lab exec "$node" -- "$relevo" incidents
    done
    exit 1
fi
