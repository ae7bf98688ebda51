#!/usr/bin/env bash
# Measures everything that this project claims about its speed, on two cores: the server on one, the generator on the
# other. Results are JSON files in bench/results/, one per figure; the table of each run goes to stdout.
#
#   bench/run.sh             all figures
#   bench/run.sh light idle  only these: room rooms light lights idle burst churn claims soldout taps
#                            fleet path bystander ticks
#
# claims, soldout and taps start a redis-server of their own on REDIS_CORE, which is the generator's unless there is a
# third one. SERVER_CORE (0), CLIENT_CORE (1), REPEAT (3) and PORT (3300) can be set. To measure another server, give its command
# in SERVER_CMD and the generator's options for it in BENCH_OPTIONS (see README.md).
set -euo pipefail
cd "$(dirname "$0")/.."

port=${PORT:-3300}
repeat=${REPEAT:-3}
results=bench/results
figures=("$@")
[ $# -gt 0 ] || figures=(light lights room rooms burst idle churn claims soldout taps fleet path bystander ticks)

cargo build --release --quiet -p haat-bench
if [ -z "${SERVER_CMD:-}" ]; then
    cargo build --release --quiet -p haat-server
fi
mkdir -p "$results"

# A secret for this run only: the server and the generator share it.
HAAT_AUTH_SECRET=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
export HAAT_AUTH_SECRET

# What would rightly hold back one client that plays ten thousand is off: limits by address, user and connection.
server=${SERVER_CMD:-env
    HAAT_LISTEN=127.0.0.1:$port
    HAAT_PRIVATE_LISTEN=127.0.0.1:$((port + 1))
    HAAT_SHARDS=1
    HAAT_LIMITS_ADDRESS_CONNECTIONS=0
    HAAT_LIMITS_ADDRESS_HANDSHAKES=0
    HAAT_LIMITS_USER_CONNECTIONS=0
    HAAT_LIMITS_EVENTS_PER_SECOND=0
    HAAT_LIMITS_CHAT_PER_SECOND=0
    HAAT_LIMITS_JOINS_PER_SECOND=0
    HAAT_LIMITS_STAFF_PER_SECOND=0
    HAAT_LIMITS_REACTIONS_PER_SECOND=0
    target/release/haat serve}
server=$(printf %s "$server" | tr -s ' \n' ' ')

options=(--url "ws://127.0.0.1:$port/socket.io/" --server-cmd "$server"
    --server-core "${SERVER_CORE:-0}" --client-core "${CLIENT_CORE:-1}")
# shellcheck disable=SC2206
options+=(${BENCH_OPTIONS:-})

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

redis=
stop_redis() {
    # Waited for: the next one takes its port.
    [ -z "$redis" ] || { kill "$redis" && wait "$redis"; } 2>/dev/null || true
    redis=
}
trap stop_redis EXIT

# What happens in a live sale: with a Redis of this run, which keeps nothing.
sale() {
    local redis_port=$((port + 2)) core=${REDIS_CORE:-${CLIENT_CORE:-1}}
    taskset -c "$core" redis-server --port "$redis_port" --bind 127.0.0.1 --save '' --appendonly no --logfile '' \
        --daemonize no >/dev/null &
    redis=$!
    until (exec 3<>"/dev/tcp/127.0.0.1/$redis_port") 2>/dev/null; do
        kill -0 "$redis" || { echo "redis-server does not start" >&2; exit 2; }
        sleep 0.05
    done
    HAAT_REDIS_URL=redis://127.0.0.1:$redis_port measure "$@" --redis "127.0.0.1:$redis_port"
    stop_redis
}

# What a fleet costs: it is started by the scenario, the gateways on one core, their Redis on the generator's.
fleet() {
    local name=$1
    shift
    printf '\n== %s\n' "$name"
    target/release/haat-bench "$@" --server-core "${SERVER_CORE:-0}" --client-core "${CLIENT_CORE:-1}" \
        --json "$results/$name.json" || {
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
    claims) sale claims claims --users 1000 --window 8 ;;
    soldout) sale soldout soldout --users 1000 --window 16 --stock 100 --seconds 10 ;;
    taps) sale taps taps --users 1000 --window 1 --count 10 ;;
    fleet) fleet fleet fleet --repeat "$repeat" --viewers 1000 --rate 20 ;;
    path) fleet path path --repeat "$repeat" --viewers 10 --rate 100 ;;
    bystander) fleet bystander bystander --rooms 50 --viewers 1 --rate 100 ;;
    ticks) fleet ticks ticks ;;
    *)
        echo "unknown figure: $figure" >&2
        exit 2
        ;;
    esac
done
exit $failed
