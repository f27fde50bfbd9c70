#!/bin/sh
# Writes wasm.mod and wasm.sum, the module file of the browser's runtime, from go.mod:
# see wasm/stubs/README.md.
. "$(dirname "$0")/env.sh"

cat go.mod wasm/stubs/replace.txt >wasm.mod
cp go.sum wasm.sum
