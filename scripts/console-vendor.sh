#!/usr/bin/env bash
# Makes the console's vendored files anew from npm, at pinned versions, and says whether they differ from those that are
# checked in. With --write they are replaced.
#
#   scripts/console-vendor.sh [--write]
#
# Preact, its hooks and htm come as published, but for their imports, which browsers cannot resolve by a package's name.
# Pico CSS is compiled from its own SCSS, without the parts, and then without the variables, that the console does not use.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
vendor=src/console/vendor
case "${1-}" in
    '') write= ;;
    --write) write=1 ;;
    *) sed -n 's/^# \{0,1\}//; 2,8p' "$0" >&2; exit 2 ;;
esac

# Name, version, and what npm says the package's digest is.
packages="
preact 10.29.8 sha512-ej2aVZ+vZ8WO7tvlQWRM9N63A0KzF9q4mWJfDUHgYaIofWY9hu74QdnQrjoPMmZi2/nZ5gN0bJCQF49xQqx09Q==
htm 3.1.1 sha512-983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==
@picocss/pico 2.1.1 sha512-kIDugA7Ps4U+2BHxiNHmvgPIQDWPDU4IeU6TNRdvXQM1uZX+FibqDQT2xUOnnO2yq/LUHcwnGlu1hvf4KfXnMg==
"
sass=1.108.2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/out"

while read -r name version digest; do
    [ -n "$name" ] || continue
    folder=$work/${name##*/}
    mkdir "$folder"
    file=$(cd "$work" && npm pack --silent "$name@$version")
    found=sha512-$(openssl dgst -sha512 -binary "$work/$file" | openssl base64 -A)
    if [ "$found" != "$digest" ]; then
        echo "console-vendor.sh: $name $version is not what it was: $found" >&2
        exit 1
    fi
    tar -xzf "$work/$file" -C "$folder" --strip-components=1
done <<<"$packages"

# No source maps: they would be asked for and are not there.
import() { sed -e 's|from"preact"|from"./preact.js"|' -e '/^\/\/# sourceMappingURL=/d' "$1"; }
import "$work/preact/dist/preact.module.js" >"$work/out/preact.js"
import "$work/preact/hooks/dist/hooks.module.js" >"$work/out/hooks.js"
import "$work/htm/dist/htm.module.js" >"$work/out/htm.js"
cp "$work/preact/LICENSE" "$work/out/LICENSE-preact"
cp "$work/htm/LICENSE" "$work/out/LICENSE-htm"
cp "$work/pico/LICENSE.md" "$work/out/LICENSE-pico"

cat >"$work/pico.scss" <<'SCSS'
@use "pico/scss/index" with (
  $theme-color: "azure",
  $enable-responsive-typography: false,
  $modules: (
    "layout/landmarks": false,
    "layout/container": false,
    "layout/section": false,
    "layout/grid": false,
    "content/embedded": false,
    "content/figure": false,
    "forms/input-color": false,
    "forms/input-date": false,
    "forms/input-file": false,
    "forms/input-range": false,
    "forms/input-search": false,
    "components/card": false,
    "components/dropdown": false,
    "components/group": false,
    "components/nav": false,
    "components/tooltip": false
  )
);
SCSS
(cd "$work" && npm install --silent --no-audit --no-fund --prefix "$work/sass" "sass@$sass" >/dev/null &&
    "$work/sass/node_modules/.bin/sass" --quiet --no-source-map --style=compressed pico.scss pico.css)
# The page says in data-theme which colours are wanted, so the copies of the dark ones for pages that do not are left out,
# as are selectors for shadow trees and of what no page has, and variables that nothing reads or keystead.css sets itself.
cat >"$work/trim.mjs" <<'MJS'
import { readFileSync, writeFileSync } from "node:fs";
const [from, own, to] = process.argv.slice(2);
const block = (text, at) => {
  let depth = 0;
  for (let i = at; ; i += 1) {
    if (text[i] === "{") depth += 1;
    if (text[i] === "}" && (depth -= 1) === 0) return i + 1;
  }
};
let css = readFileSync(from, "utf8").replace(/^\uFEFF/, "");
for (const media of ["@media only screen and (prefers-color-scheme: dark){", "@media only screen and (prefers-color-scheme:dark){"]) {
  for (let at = css.indexOf(media); at >= 0; at = css.indexOf(media)) css = css.slice(0, at) + css.slice(block(css, at));
}
css = css.replace(/,:host(\((?:[^()]|\([^()]*\))*\))?(?=[,{ ])[^,{]*/g, "").replace(/,:where\(:host\)/g, "");
// What no page uses: rules whose every selector names one of these, and such selectors among others.
const unused = /\.contrast|\[type=(file|color|range|date|datetime-local|month|week|time|reset)\]|\[role=(switch|link|group|search|combobox|listbox)\]|file-selector|aria-invalid=false|\.dropdown|blockquote|\bhgroup\b|\bkbd\b|\bins\b|\bmark\b|\bsamp\b|\babbr\b|\baudio\b|\bvideo\b|summary\[role=button\]|\[dir=rtl\]|:autofill|-webkit-autofill|\btfoot\b|\.striped|:indeterminate|\[multiple\]|\bfigure\b|\biframe\b|\bsvg\b|moz-/;
const parts = (selector) => {
  let depth = 0, from = 0;
  const found = [];
  for (let i = 0; i <= selector.length; i += 1) {
    if (selector[i] === "(" || selector[i] === "[") depth += 1;
    if (selector[i] === ")" || selector[i] === "]") depth -= 1;
    if (i === selector.length || (selector[i] === "," && depth === 0)) { found.push(selector.slice(from, i)); from = i + 1; }
  }
  return found;
};
const own_css = readFileSync(own, "utf8");
const set_here = new Set([...own_css.slice(0, own_css.indexOf("}")).matchAll(/(--pico-[\w-]+):/g)].map((found) => found[1]));
css = css.replace(/(?<=^|[{}]|\*\/)([^{}@]*?)\{([^{}]*)\}/g, (all, selectors, body) => {
  const comment = selectors.match(/^\s*\/\*[^]*\*\//)?.[0] ?? "";
  const without = selectors.slice(comment.length);
  // Only whole selectors go: one within :not() or :is() says what is left.
  const bare = (one) => one.replace(/:(not|is|where)\((?:[^()]|\([^()]*\))*\)/g, (inner) => (inner.startsWith(":not") ? "" : parts(inner.slice(inner.indexOf("(") + 1, -1)).every((one) => unused.test(one)) ? inner : ""));
  const kept = parts(without).filter((one) => !unused.test(bare(one)));
  if (kept.length === 0) return comment;
  const theme = kept.every((one) => /^(:root|\[data-theme=(light|dark)\])/.test(one) && !/ /.test(one));
  const said = theme ? body.replace(/(--pico-[\w-]+):((?:"[^"]*"|\([^)]*\)|[^;{}"(])*)(;|$)/g, (all, name) => (set_here.has(name) ? "" : all)) : body;
  return said ? `${comment}${kept.join(",")}{${said}}` : comment;
});
for (let before = ""; before !== css;) {
  before = css;
  const read = new Set([...(css + own_css).matchAll(/var\((--[\w-]+)/g)].map((found) => found[1]));
  css = css.replace(/(--pico-[\w-]+):((?:"[^"]*"|\([^)]*\)|[^;{}"(])*)(;|(?=\}))/g, (all, name) => (read.has(name) ? all : ""));
  css = css.replace(/(?<=[{}])[^{}@]+\{\}/g, "").replace(/@media[^{}]*\{\}/g, "");
}
writeFileSync(to, css);
MJS
node "$work/trim.mjs" "$work/pico.css" src/console/keystead.css "$work/out/pico.css"

if [ -n "$write" ]; then
    mkdir -p "$vendor"
    cp "$work"/out/* "$vendor/"
    echo "console-vendor.sh: written to $vendor"
elif diff -r "$work/out" "$vendor"; then
    echo "console-vendor.sh: nothing differs"
else
    exit 1
fi
