#!/usr/bin/env bash
# Measures everything that this project claims about its speed, on two cores: the server on one, the generator on the
# other. Results are JSON files in bench/results/, one per figure; the table of each run goes to stdout.
#
#   bench/run.sh             all figures
#   bench/run.sh light idle  only these: room rooms light lights idle burst churn claims soldout taps
#                            fleet path bystander ticks
#
# The generator starts what it measures: gateways, and the Redis of those figures that need one. SERVER_CORE (0),
# CLIENT_CORE (1), REDIS_CORE (the generator's) and REPEAT (3) can be set. To measure another server, give its command in
# SERVER_CMD, the generator's options for it in BENCH_OPTIONS, and where it listens in PORT (3300); see README.md.
set -euo pipefail
cd "$(dirname "$0")/.."

repeat=${REPEAT:-3}
results=bench/results
all=(light lights room rooms burst idle churn)
options=(--server-core "${SERVER_CORE:-0}" --client-core "${CLIENT_CORE:-1}")

cargo build --release --quiet -p haat-bench
if [ -n "${SERVER_CMD:-}" ]; then
    options+=(--url "ws://127.0.0.1:${PORT:-3300}/socket.io/" --server-cmd "$SERVER_CMD")
else
    cargo build --release --quiet -p haat-server
    all+=(claims soldout taps fleet path bystander ticks)
    [ -z "${REDIS_CORE:-}" ] || options+=(--redis-core "$REDIS_CORE")
fi
# shellcheck disable=SC2206
options+=(${BENCH_OPTIONS:-})
figures=("$@")
[ $# -gt 0 ] || figures=("${all[@]}")
mkdir -p "$results"

failed=0
measure() {
    local name=$1
    shift
    printf '\n== %s\n' "$name"
    target/release/haat-bench "$@" "${options[@]}" --json "$results/$name.json" || {
        echo "haat-bench: $name: exit status $?" >&2
        failed=1
    }
}

for figure in "${figures[@]}"; do
    case $figure in
    room) measure room compare --repeat "$repeat" saturate --limit tick --rooms 1 --viewers 1000 ;;
    rooms) measure rooms compare --repeat "$repeat" saturate --limit tick --rooms 100 --viewers 50 ;;
    light) measure light compare --repeat "$repeat" fanout --limit each --rooms 1 --viewers 1000 --rate 20 ;;
    lights) measure lights compare --repeat "$repeat" fanout --limit each --rooms 100 --viewers 50 --rate 4 ;;
    burst) measure burst idle --connections 10000 --burst ;;
    idle) measure idle idle --connections 10000 ;;
    churn) measure churn churn --concurrent 64 ;;
    claims) measure claims claims --users 1000 --window 8 ;;
    soldout) measure soldout soldout --users 1000 --window 16 --stock 100 --seconds 10 ;;
    taps) measure taps taps --users 1000 --window 1 --count 10 ;;
    fleet) measure fleet fleet --repeat "$repeat" --viewers 1000 --rate 20 ;;
    path) measure path path --repeat "$repeat" --viewers 10 --rate 100 ;;
    bystander) measure bystander bystander --rooms 50 --viewers 1 --rate 100 ;;
    ticks) measure ticks ticks ;;
    *)
        echo "unknown figure: $figure" >&2
        exit 2
        ;;
    esac
done
exit $failed
