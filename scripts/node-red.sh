#!/bin/sh
# Tests the Node-RED nodes with the native binary, a real mosquitto, and both Node-REDs that
# they are for. Installs those into nodered/node_modules where they are missing.
. "$(dirname "$0")/env.sh"

[ -x bin/mqttdb ] || scripts/build.sh
scripts/clients.sh # a Node.js for Node-RED 5
export MQTTDB_BIN="$PWD/bin/mqttdb" PATH="$PATH:/usr/sbin"
node=$PWD/.cache/interop/node
cd nodered

if ! cmp -s package.json node_modules/installed.json; then
	echo "installing Node-RED from npm"
	log=$(mktemp)
	npm install --ignore-scripts --no-audit --no-fund --no-package-lock >"$log" 2>&1 || { cat "$log" >&2 && exit 1; }
	rm "$log"
	cp package.json node_modules/installed.json
fi
"$node" --test --test-reporter=dot test/*.test.js
NODE_RED=node-red-5 "$node" --test --test-reporter=dot test/survive.test.js
