#!/bin/sh
# Runs every fuzz target for SECONDS (default 10), with coverage feedback, on the stable toolchain.
#
#   fuzz/run.sh [SECONDS] [TARGET...]
#
# Finds go to fuzz/artifacts/TARGET/; the exit code is not 0 if there is one.
set -eu

cd "$(dirname "$0")"
seconds="${1:-10}"
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- $(ls fuzz_targets | sed -n 's/\.rs$//p')

# What cargo-fuzz asks of nightly, without the address sanitizer: the code under test is safe Rust.
RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module
 -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
 -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
RUSTFLAGS=$(echo "$RUSTFLAGS" | tr '\n' ' ')
export RUSTFLAGS
host=$(rustc -vV | sed -n 's/^host: //p')
for target in "$@"; do
    cargo build --quiet --release --target "$host" --bin "$target"
done

build="${CARGO_TARGET_DIR:-target}/$host/release"
failed=0
for target in "$@"; do
    grown="${CARGO_TARGET_DIR:-target}/corpus/$target"
    mkdir -p "$grown" "artifacts/$target" "corpus/$target"
    seeds="corpus/$target"
    # Seeds that are in the tree anyway.
    [ "$target" = cluster_file ] && seeds="$seeds ../examples ../crates/model/tests/diagnostics"
    words=""
    [ -f "dict/$target.dict" ] && words="-dict=dict/$target.dict"
    log="${CARGO_TARGET_DIR:-target}/$target.log"
    echo "fuzzing $target for $seconds s"
    # shellcheck disable=SC2086
    if "$build/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=8192 \
        -artifact_prefix="artifacts/$target/" $words "$grown" $seeds >"$log" 2>&1; then
        grep '^Done' "$log"
    else
        failed=1
        tail -n 40 "$log"
        echo "$target: found something; it is in fuzz/artifacts/$target/"
    fi
done
exit $failed
