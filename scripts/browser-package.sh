#!/bin/sh
# Builds the npm package @mqttdb/browser as a folder, bin/browser: the ES modules, and the
# runtime as gzipped WebAssembly. Any static server can serve it as it is. The example with
# all that it needs is bin/browser-example.
. "$(dirname "$0")/env.sh"

out=${1:-bin/browser}
version=${VERSION:-$(git describe --tags --match 'v[0-9]*' 2>/dev/null | sed 's/^v//')}
modfile=
[ ! -f wasm.mod ] || modfile=-modfile=wasm.mod

mkdir -p "$out/mqttdb"
cp web/mqttdb.js web/mqttdb.d.ts web/browser/README.md LICENSE THIRD_PARTY_NOTICES "$out"
cp web/mqttdb/*.js "$(go env GOROOT)/lib/wasm/wasm_exec.js" "$out/mqttdb"
sed "s/\"0.0.0\"/\"${version:-0.0.0}\"/" web/browser/package.json >"$out/package.json"
# shellcheck disable=SC2086 # nothing, or one flag
GOOS=js GOARCH=wasm go build $modfile -trimpath -ldflags '-s -w' -o "$out/mqttdb/mqttdb.wasm" ./cmd/wasm
gzip -9nf "$out/mqttdb/mqttdb.wasm"

rm -rf "$out-example"
mkdir "$out-example"
cp -r examples/browser/*.html examples/browser/*.js examples/browser/*.css "$out/mqttdb.js" "$out/mqttdb" "$out-example"
