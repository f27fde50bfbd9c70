#!/bin/sh
# Installs the MQTT clients of internal/interop that come from npm into
# .cache/interop, and a Node.js for them where the machine's is too old. It needs
# no Go and no rights, and does nothing where all that is there.
set -eu
cd "$(dirname "$0")/.."
. scripts/versions.env

from=internal/interop/clients to=$PWD/.cache/interop

if ! command -v npm >/dev/null; then
	echo "npm is missing: run scripts/setup.sh, or install Node.js with npm from https://nodejs.org; any version will do, the tests get the one that they need" >&2
	exit 1
fi

if cmp -s $from/package-lock.json "$to/installed.json" && [ -x "$to/node" ]; then
	exit 0
fi
mkdir -p "$to"
rm -f "$to/installed.json"
cp $from/package.json $from/package-lock.json "$to"

# What npm says is of interest only if it fails.
quietly() {
	"$@" >"$to/npm.log" 2>&1 || { cat "$to/npm.log" >&2 && exit 1; }
}

echo "installing MQTT clients from npm"
cd "$to"
quietly npm ci --ignore-scripts --no-audit --no-fund

# The oldest that Node-RED runs on.
recent='const [a, b] = process.versions.node.split("."); process.exit(a > 22 || a == 22 && b >= 9 ? 0 : 1)'
node=$(command -v node)
if ! "$node" -e "$recent"; then
	package=node-$("$node" -p 'process.platform + "-" + process.arch')
	mkdir -p runtime
	echo '{"private": true}' >runtime/package.json
	(cd runtime && quietly npm install --ignore-scripts --no-audit --no-fund --no-save --no-package-lock "$package@$NODE")
	node=$to/runtime/node_modules/$package/bin/node
fi
ln -sf "$node" "$to/node"
cp package-lock.json installed.json
