#!/usr/bin/env bash
# Takes pictures of the console for the documentation: every page at 1280 and 390 pixels, in light and dark, of a server with
# made-up clients. Needs chromium, chromium-driver and softhsm2.
#
#   scripts/console-screenshots.sh [FOLDER]      without a folder: docs/console, those that the documentation shows
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

shown="overview connect-vcenter adapter root-key keys approval audit sign-in"
folder=${1-}
if [ -n "$folder" ]; then
    all=$folder
else
    all=$(mktemp -d)
    trap 'rm -rf "$all"' EXIT
fi
KEYSTEAD_PICTURES=$(mkdir -p "$all" && cd "$all" && pwd)
export KEYSTEAD_PICTURES
cargo test --quiet --test main console::pictures:: -- --nocapture
if [ -z "$folder" ]; then
    mkdir -p docs/console
    for name in $shown; do
        cp "$all/$name"-{1280,390}-{light,dark}.png docs/console/
    done
fi
