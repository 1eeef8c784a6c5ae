#!/usr/bin/env bash
# Measures a server of this checkout with the load generator: 16 connections, TLS 1.3, 10,000 objects stored.
#
#   KMIPLOAD=path/to/kmipload scripts/load.sh software create get locate
#   KMIPLOAD=path/to/kmipload scripts/load.sh softhsm get
#
# OBJECTS, CONNECTIONS and SECONDS_EACH change the defaults. The release build must be there (cargo build --release).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

hsm=$1
shift
keystead=${CARGO_TARGET_DIR:-target}/release/keystead
: "${KMIPLOAD:?say where kmipload is}"
dir=$(mktemp -d)
"$keystead" dev --dir "$dir" --hsm "$hsm" --tls-key ecdsa-p256 \
    --kmip-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 >"$dir/log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true; rm -rf "$dir"' EXIT
until grep -q '^KMIP ready on ' "$dir/log"; do
    kill -0 "$server"
    sleep 0.1
done
address=$(sed -n 's/^KMIP ready on //p' "$dir/log")

echo "== $hsm, ${OBJECTS:-10000} objects, ${CONNECTIONS:-16} connections"
for workload in "$@"; do
    "$KMIPLOAD" --addr "$address" --ca "$dir/client/ca.pem" --cert "$dir/client/cert.pem" --key "$dir/client/key.pem" \
        --workload "$workload" --prefill "${OBJECTS:-10000}" --objects "$dir/objects" \
        --connections "${CONNECTIONS:-16}" --duration "${SECONDS_EACH:-10}" --tls 1.3 --server-pid "$server"
    grep VmHWM "/proc/$server/status"
done
