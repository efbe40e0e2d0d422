#!/bin/sh
# A training that several processes share over a Redis server of its own: workers join, one is killed, another comes
# and begins at a checkpoint.
#
#   sh examples/cluster.sh [folder [port]]
#
# On several machines: start redis-server where all reach it, with --appendonly yes, a password and TLS, and give every
# machine the same command, data and model; all but one of them with --worker.
set -eu
export INGOT_OVERWRITE=1 # run again, it replaces its own results
INGOT=$(cd "$(dirname "$0")/.." && pwd)
ingot() { "${BUN:-bun}" "$INGOT/scripts/ingot.ts" "$@"; }
PORT=${2:-7379}

mkdir -p "${1:-cluster}/redis"
cd "${1:-cluster}"
PASSWORD=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
redis-server --port "$PORT" --bind 127.0.0.1 --dir redis --requirepass "$PASSWORD" --appendonly yes \
  --appendfsync always > redis/log.txt &
REDIS=$!
trap 'kill $REDIS' EXIT
sleep 1

# In the environment, neither URL nor key stands in the list of processes
export INGOT_CLUSTER="redis://:$PASSWORD@127.0.0.1:$PORT/example-$$"
CLUSTER_KEY=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export CLUSTER_KEY

echo '{"model_type": "mlp", "input_size": 16, "hidden_sizes": [20], "num_labels": 4}' > net.json
ingot data blobs --size 400 -o blobs.jsonl
LEARN="train zo-byte --init net.json --data blobs.jsonl --steps 120 --samples 8 --batch-size 50 --lr 0.05"
OVER="--task-samples 2 --lag 3 --cluster-checkpoint 20"
worker() { "${BUN:-bun}" "$INGOT/scripts/ingot.ts" $LEARN $OVER --worker; }

"${BUN:-bun}" "$INGOT/scripts/ingot.ts" $LEARN $OVER --worker &
FIRST=$!
(
  sleep 8
  kill -9 "$FIRST" || true
  worker
) &
SECOND=$!
ingot $LEARN $OVER --eval-data blobs.jsonl --codes codes.safetensors -o shared/
wait "$SECOND"

# One process alone, without a server, comes to the same bytes
unset INGOT_CLUSTER
ingot $LEARN -o alone/
ingot train replay --init net.json --codes codes.safetensors -o again/
ingot evaluate shared alone again --data blobs.jsonl --metric accuracy,loss
