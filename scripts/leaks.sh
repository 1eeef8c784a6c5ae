#!/usr/bin/env bash
# Looks for memory that is lost for good: wraps and unwraps on SoftHSM2, and on kryoptic where it is built, under valgrind. At the
# end valgrind says how much no pointer leads to any more, and where it was asked for; the script fails where that is anything.
#
#   scripts/leaks.sh                 # 5,000 of each scheme
#   COUNT=20000 scripts/leaks.sh
#
# Valgrind makes calls some fifty times slower: 20,000 of each scheme on SoftHSM2 take about ten minutes on one core. Says
# SKIP, and succeeds, where there is no valgrind (Debian, Ubuntu: valgrind).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v valgrind > /dev/null; then
    echo 'SKIP: valgrind is not installed, so nothing is known of leaks'
    exit 0
fi

cargo build --release -p hal --example session_objects
# Only what is definitely lost is an error: what is reachable at the end is in use, and "possibly" is what cannot be told from it.
valgrind --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite --error-exitcode=1 --num-callers=30 \
    "${CARGO_TARGET_DIR:-target}/release/examples/session_objects" "${COUNT:-5000}"
