#!/usr/bin/env bash
# Measures how quickly the admin API answers what the console's pages ask for, with 200 adapters, 10,000 certificates and
# 1,000,000 keys. Prints a table: half of the answers, and all of them, came within so many milliseconds.
#
#   scripts/console-load.sh            # 1,000,000 keys, in a folder that goes afterwards
#   scripts/console-load.sh 10000 DIR  # so many, in DIR, which is kept and used again
#
# Builds in release mode; PROFILE=dev does not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo bench --profile "${PROFILE:-release}" --bench console -- "${@:-1000000}"
