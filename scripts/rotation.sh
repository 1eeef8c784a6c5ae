#!/usr/bin/env bash
# Rotates the root key of a server with many objects, over SoftHSM2 and under load, and kills the server five times on the
# way; then once more with nothing else to do. Prints how long it took and how fast it was beside what the token alone does;
# fails if a single key is lost.
#
#   scripts/rotation.sh            # 100,000 objects
#   OBJECTS=10000 scripts/rotation.sh
#
# Builds in release mode; PROFILE=dev does not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export KEYSTEAD_ROTATION_OBJECTS=${OBJECTS:-100000}
cargo test --profile "${PROFILE:-release}" --test main -- \
    rotation::process::a_server_killed_five_times_while_it_rotates_loses_no_key --exact --nocapture
